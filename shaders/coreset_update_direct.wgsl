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

//#if SUBGROUP
// Zero past the end of a row (TAIL: rows that are no multiple of 8 vec4s), which adds nothing.
fn pick_part(pick: u32, k: u32) -> vec4<f32> {
//#if TAIL
    if (k >= p.r4) { return vec4(0.0); }
//#endif
    return bank[pick * p.r4 + k];
}

fn patch_part(base: u32, k: u32) -> vec4<f32> {
//#if TAIL
    if (k >= p.r4) { return vec4(0.0); }
//#endif
    return z[base + k];
}

fn add_squares4(sums: vec4<f32>, v: vec4<f32>, s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32>) -> vec4<f32> {
    return vec4(
        add_squares(sums.x, v - s0), add_squares(sums.y, v - s1), add_squares(sums.z, v - s2), add_squares(sums.w, v - s3),
    );
}
//#endif

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
        var limit = subgroupMax(4.0 * max(best, 0.0)) * MARGIN;
        var j0 = 0u;
        var left = 0u;
        loop {
            // The next four picks that come near; fewer at the end, where one is repeated.
            var q = vec4(0u);
            var n = 0u;
            while (n < 4u && (left != 0u || j0 < count)) {
                if (left == 0u) {
                    // Lane l looks at picks j0 + 4 l .. j0 + 4 l + 3; bit l + 8 i stands for j0 + 4 l + i.
                    var near = vec4<bool>();
                    let j = j0 + 4u * lane;
                    if (j < count) {
                        near = table[(c * p.batch + j) / 4u] < vec4(limit);
                        near &= vec4(j, j + 1u, j + 2u, j + 3u) < vec4(count);
                    }
                    if (subgroupAny(any(near))) {
                        left = subgroupBallot(near.x).x | subgroupBallot(near.y).x << 8u
                            | subgroupBallot(near.z).x << 16u | subgroupBallot(near.w).x << 24u;
                    }
                    j0 += 32u;
                } else {
                    let bit = firstTrailingBit(left);
                    left &= left - 1u;
                    let pick = first + j0 - 32u + 4u * (bit % 8u) + bit / 8u;
                    q = select(vec4(pick, q.xyz), vec4(pick), n == 0u);
                    n++;
                }
            }
            if (n == 0u) { break; }
            var sums = vec4(0.0);
            for (var at = 0u; at < p.r4; at += 8u) {
                let s0 = pick_part(q.x, at + lane);
                let s1 = pick_part(q.y, at + lane);
                let s2 = pick_part(q.z, at + lane);
                let s3 = pick_part(q.w, at + lane);
                var v = vec4(0.0);
                v = patch_part(base, at + 0u);
                sums = add_squares4(sums, v, subgroupBroadcast(s0, 0u), subgroupBroadcast(s1, 0u), subgroupBroadcast(s2, 0u), subgroupBroadcast(s3, 0u));
                v = patch_part(base, at + 1u);
                sums = add_squares4(sums, v, subgroupBroadcast(s0, 1u), subgroupBroadcast(s1, 1u), subgroupBroadcast(s2, 1u), subgroupBroadcast(s3, 1u));
                v = patch_part(base, at + 2u);
                sums = add_squares4(sums, v, subgroupBroadcast(s0, 2u), subgroupBroadcast(s1, 2u), subgroupBroadcast(s2, 2u), subgroupBroadcast(s3, 2u));
                v = patch_part(base, at + 3u);
                sums = add_squares4(sums, v, subgroupBroadcast(s0, 3u), subgroupBroadcast(s1, 3u), subgroupBroadcast(s2, 3u), subgroupBroadcast(s3, 3u));
                v = patch_part(base, at + 4u);
                sums = add_squares4(sums, v, subgroupBroadcast(s0, 4u), subgroupBroadcast(s1, 4u), subgroupBroadcast(s2, 4u), subgroupBroadcast(s3, 4u));
                v = patch_part(base, at + 5u);
                sums = add_squares4(sums, v, subgroupBroadcast(s0, 5u), subgroupBroadcast(s1, 5u), subgroupBroadcast(s2, 5u), subgroupBroadcast(s3, 5u));
                v = patch_part(base, at + 6u);
                sums = add_squares4(sums, v, subgroupBroadcast(s0, 6u), subgroupBroadcast(s1, 6u), subgroupBroadcast(s2, 6u), subgroupBroadcast(s3, 6u));
                v = patch_part(base, at + 7u);
                sums = add_squares4(sums, v, subgroupBroadcast(s0, 7u), subgroupBroadcast(s1, 7u), subgroupBroadcast(s2, 7u), subgroupBroadcast(s3, 7u));
                if (!subgroupAny(any(sums < vec4(best)))) { break; }
            }
            work += select(0u, n, entry != 0u);
            let before = best;
            // Picks come out of order: the earlier one wins a tie, as it does one at a time.
            if (sums.x < best || (sums.x == best && q.x < mine)) { best = sums.x; mine = q.x; }
            if (sums.y < best || (sums.y == best && q.y < mine)) { best = sums.y; mine = q.y; }
            if (sums.z < best || (sums.z == best && q.z < mine)) { best = sums.z; mine = q.z; }
            if (sums.w < best || (sums.w == best && q.w < mine)) { best = sums.w; mine = q.w; }
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
