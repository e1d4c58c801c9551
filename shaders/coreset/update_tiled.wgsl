// Distances of the patches to their nearest pick after a batch, and which pick that is.
// z [rows of the chunk][r4], kept [kept], bank [picks][r4], table [picks][across] squared distances of centres
// from the batch's picks, sorted [tiles][8] positions + 1, distance [kept], centre [kept], state.
//
// For GPUs: a workgroup of 64 takes tile after tile of 8 patches with one centre; invocation (i, j) walks
// picks j, j + 8, .. for patch i, so that its neighbours read the same patch and the same few picks. What
// takes time is to wait for loads: four picks are looked up at once, and four vec4 of a patch and a pick are
// under way together. Skipping and its margin as in update_direct.wgsl. Two barriers per tile. Cost: a load
// per pick of the batch, and up to 2 r4 vec4 loads for each that is not skipped.
const MARGIN: f32 = 1.001;

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> kept: array<u32>;
@group(0) @binding(2) var<storage, read> bank: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> table: array<f32>;
@group(0) @binding(4) var<storage, read> sorted: array<u32>;
@group(0) @binding(5) var<storage, read_write> distance: array<f32>;
@group(0) @binding(6) var<storage, read_write> centre: array<u32>;
@group(0) @binding(7) var<storage, read_write> state: CountingState;
@group(0) @binding(8) var<uniform> p: Params;

// Squared distance between rows of z and of the bank, or something no less than `enough`.
fn squared(row: u32, pick: u32, enough: f32) -> f32 {
    var sum = 0.0;
    var k = 0u;
    for (; k + 4u <= p.r4; k += 4u) {
        let d0 = z[row + k] - bank[pick + k];
        let d1 = z[row + k + 1u] - bank[pick + k + 1u];
        let d2 = z[row + k + 2u] - bank[pick + k + 2u];
        let d3 = z[row + k + 3u] - bank[pick + k + 3u];
        sum = add_squares(add_squares(add_squares(add_squares(sum, d0), d1), d2), d3);
        if (sum >= enough) { return sum; }
    }
    for (; k < p.r4; k++) { sum = add_squares(sum, z[row + k] - bank[pick + k]); }
    return sum;
}

var<workgroup> end: u32;
var<workgroup> values: array<f32, 64>;
var<workgroup> owners: array<u32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (me == 0u) { end = select(state.tiles, 0u, state.picked >= p.picks); }
    let tiles = workgroupUniformLoad(&end);
    let first = state.first;
    let count = state.count;
    var work = 0u;
    for (var tile = wid.x; tile < tiles; tile += groups.x) {
        let entry = sorted[8u * tile + me / 8u];
        let position = max(entry, 1u) - 1u;
        var best = -1.0;
        var mine = 0u;
        if (entry != 0u) {
            best = distance[position];
            mine = centre[position];
            let base = (kept[position] - p.row0) * p.r4;
            let row = mine * p.across;
            let old = sqrt(best);
            for (var four = me % 8u; four < count; four += 32u) {
                var close = vec4(table[row + four], 0.0, 0.0, 0.0);
                if (four + 8u < count) { close.y = table[row + four + 8u]; }
                if (four + 16u < count) { close.z = table[row + four + 16u]; }
                if (four + 24u < count) { close.w = table[row + four + 24u]; }
                for (var i = 0u; i < 4u && four + 8u * i < count; i++) {
                    let to_pick = select(select(close.x, close.y, i == 1u), select(close.z, close.w, i == 3u), i >= 2u);
                    let reach = old + sqrt(best);
                    if (to_pick < reach * reach * MARGIN) {
                        let pick = first + four + 8u * i;
                        let sum = squared(base, pick * p.r4, best);
                        work++;
                        if (sum < best) { best = sum; mine = pick; }
                    }
                }
            }
        }
        values[me] = best;
        owners[me] = mine;
        workgroupBarrier();
        if (entry != 0u && me % 8u == 0u) {
            for (var j = 1u; j < 8u; j++) {
                let v = values[me + j];
                // An earlier pick wins a tie, as it does one at a time.
                if (v < best || (v == best && owners[me + j] < mine)) { best = v; mine = owners[me + j]; }
            }
            distance[position] = best;
            centre[position] = mine;
        }
        workgroupBarrier();
    }
    if (work > 0u) {
        let before = atomicAdd(&state.distances_low, work);
        if (before + work < before) { atomicAdd(&state.distances_high, 1u); }
    }
}
