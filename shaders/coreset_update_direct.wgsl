// Distances of the patches to their nearest pick after a batch, and which pick that is.
// z [rows of the chunk][r4], kept [kept], bank [picks][r4], table [picks][batch] squared distances of centres from the
// batch's picks, sorted [tiles][8] positions + 1, distance [kept], centre [kept], state.
//
// For CPU drivers: a workgroup of 8 lanes takes tile after tile of 8 patches with one centre c and walks the picks s.
// A pick is passed over where D(c, s) >= D(p, c) + D(p, nearest so far) for all 8, since then D(p, s) is no less than
// what p has; and it is given up where the partial sums of all 8 are no less. The patches stay in registers, a pick is
// loaded by all lanes together and handed round by broadcasts. Cost a tile: r4 vec4 loads, and r4/8 for a pick.
//
// The margin: all terms of a squared distance are >= 0, so its relative error is at most (r4 + 4) * 2^-24, under 7e-5 up
// to 4096 values. To be skipped safely the right side needs four such errors, 2.5e-4: the factor 1.001 on the squares
// (4.004 where both distances are the radius) has room to spare for the square roots.
const R8: u32 = 4u;
const MARGIN: f32 = 1.001;

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> kept: array<u32>;
@group(0) @binding(2) var<storage, read> bank: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> sorted: array<u32>;
@group(0) @binding(5) var<storage, read_write> distance: array<f32>;
@group(0) @binding(6) var<storage, read_write> centre: array<u32>;
@group(0) @binding(7) var<storage, read_write> state: array<atomic<u32>>;
@group(0) @binding(8) var<uniform> p: Params;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = select(atomicLoad(&state[TILES]), 0u, atomicLoad(&state[TOTAL]) >= p.picks);
    let first = atomicLoad(&state[FIRST]);
    let count = atomicLoad(&state[COUNT]);
    var work = 0u;
    for (var tile = wid.x; tile < tiles; tile += groups.x) {
        let entry = sorted[8u * tile + lane];
        // A lane without a patch does what its neighbour's patch 0 does, and stores nothing.
        let position = max(entry, 1u) - 1u;
        var best = -1.0;
        var mine = 0u;
        var base = 0u;
        if (entry != 0u) {
            best = distance[position];
            mine = centre[position];
            base = (kept[position] - p.row0) * p.r4;
        }
        let old = sqrt(max(best, 0.0));
        let start = best;
//#if SUBGROUP
        // Lane 0 always has a patch.
        let c = subgroupBroadcast(mine, 0u);
        var loaded = false;
        var zv: array<array<vec4<f32>, 8>, R8>;
        var limit = subgroupMax(4.0 * max(best, 0.0)) * MARGIN;
        for (var j0 = 0u; j0 < count; j0 += 32u) {
            // Lane l looks at picks j0 + 4 l .. j0 + 4 l + 3.
            var near = vec4<bool>();
            let j = j0 + 4u * lane;
            if (j < count) {
                near = table[(c * p.batch + j) / 4u] < vec4(limit);
                near &= vec4(j, j + 1u, j + 2u, j + 3u) < vec4(count);
            }
            if (!subgroupAny(any(near))) { continue; }
            // Bit l + 8 i: pick j0 + 4 l + i.
            var left = subgroupBallot(near.x).x | subgroupBallot(near.y).x << 8u
                | subgroupBallot(near.z).x << 16u | subgroupBallot(near.w).x << 24u;
            if (!loaded) {
                loaded = true;
                for (var b = 0u; b < R8; b++) {
                    for (var k = 0u; k < 8u; k++) {
                        zv[b][k] = vec4(0.0);
                        if (8u * b + k < p.r4) { zv[b][k] = z[base + 8u * b + k]; }
                    }
                }
            }
            let before = best;
            while (left != 0u) {
                let bit = firstTrailingBit(left);
                let pick = first + j0 + 4u * (bit % 8u) + bit / 8u;
                left &= left - 1u;
                var sum = 0.0;
                var open = true;
                for (var b = 0u; b < R8; b++) {
                    if (open) {
                        var sv = vec4(0.0);
                        if (8u * b + lane < p.r4) { sv = bank[pick * p.r4 + 8u * b + lane]; }
                        sum = add_squares(sum, zv[b][0] - subgroupBroadcast(sv, 0u));
                        sum = add_squares(sum, zv[b][1] - subgroupBroadcast(sv, 1u));
                        sum = add_squares(sum, zv[b][2] - subgroupBroadcast(sv, 2u));
                        sum = add_squares(sum, zv[b][3] - subgroupBroadcast(sv, 3u));
                        sum = add_squares(sum, zv[b][4] - subgroupBroadcast(sv, 4u));
                        sum = add_squares(sum, zv[b][5] - subgroupBroadcast(sv, 5u));
                        sum = add_squares(sum, zv[b][6] - subgroupBroadcast(sv, 6u));
                        sum = add_squares(sum, zv[b][7] - subgroupBroadcast(sv, 7u));
                        open = subgroupAny(sum < best);
                    }
                }
                work += u32(entry != 0u);
                // Picks come out of order: the earlier one wins a tie, as it does one at a time.
                if (sum < best || (sum == best && pick < mine)) { best = sum; mine = pick; }
            }
            if (subgroupAny(best < before)) {
                let reach = old + sqrt(max(best, 0.0));
                limit = subgroupMax(reach * reach) * MARGIN;
            }
        }
//#else
        if (entry != 0u) {
            let c = mine;
            for (var j = 0u; j < count; j++) {
                let reach = old + sqrt(best);
                if (table[(c * p.batch + j) / 4u][j % 4u] < reach * reach * MARGIN) {
                    var sum = 0.0;
                    for (var k = 0u; k < p.r4; k++) {
                        sum = add_squares(sum, z[base + k] - bank[(first + j) * p.r4 + k]);
                        if (sum >= best) { break; }
                    }
                    work++;
                    if (sum < best) { best = sum; mine = first + j; }
                }
            }
        }
//#endif
        if (best < start) {
            distance[position] = best;
            centre[position] = mine;
        }
    }
    if (work > 0u) {
        let before = atomicAdd(&state[WORK], work);
        if (before + work < before) { atomicAdd(&state[WORK_HIGH], 1u); }
    }
}
