// Distances of the patches to their nearest pick after a batch, and which pick that is.
// z [rows of the chunk][r4], kept [kept], bank [picks][r4], table [picks][across] squared distances of centres
// from the batch's picks, sorted [tiles][8] positions + 1, distance [kept], centre [kept], state.
//
// For CPU drivers: a workgroup of 8 lanes takes tile after tile of 8 patches with one centre c and walks the
// picks s. A pick is passed over where D(c, s) >= D(p, c) + D(p, nearest so far) for all 8, since then D(p,
// s) is no less than what p has. Those left are taken 8 at a time in their order, a lane loads one of them,
// and broadcasts hand it round to the patches; they are given up where the partial sums of all 8 patches are
// no less. The start of the patches, which decides most, is loaded once per tile. Cost: r4 vec4 loads per
// tile, and at most r4/4 per pick (r4/8 while only the start counts).
//
// The margin: all terms of a squared distance are >= 0, so its relative error is at most (r4 + 4) * 2^-24,
// under 7e-5 up to 4096 values. To be skipped safely the right side needs four such errors, 2.5e-4: the
// factor 1.001 on the squares (4.004 where both distances are the radius) has room to spare for the square
// roots.
const MARGIN: f32 = 1.001;

//#include shared/coreset.wgsl
//#include shared/stored.wgsl
//#include shared/texels.wgsl
//#if SUBGROUP
//#include shared/lanes8.wgsl
//#endif

@group(0) @binding(0) var<storage, read> z: array<Stored>;
@group(0) @binding(1) var<storage, read> kept: array<u32>;
//#if TEXELS
@group(0) @binding(2) var bank: Texels;
fn bank_at(i: u32) -> vec4<f32> { return textureLoad(bank, texel(i)); }
//#else
@group(0) @binding(2) var<storage, read> bank: array<Stored>;
fn bank_at(i: u32) -> vec4<f32> { return wide(bank[i]); }
//#endif
@group(0) @binding(3) var<storage, read> table: array<Stored>;
@group(0) @binding(4) var<storage, read> sorted: array<u32>;
@group(0) @binding(5) var<storage, read_write> distance: array<f32>;
@group(0) @binding(6) var<storage, read_write> centre: array<u32>;
@group(0) @binding(7) var<storage, read_write> state: CountingState;
@group(0) @binding(8) var<uniform> p: Params;

//#if SUBGROUP
// Zero past the end of a row (TAIL: rows that are no multiple of 4 vec4s, or shorter than 8), which adds
// nothing.
fn pick_part(pick: u32, k: u32) -> vec4<f32> {
//#if TAIL
    if (k >= p.r4) { return vec4(0.0); }
//#endif
    return bank_at(pick * p.r4 + k);
}

fn patch_part(base: u32, k: u32) -> vec4<f32> {
//#if TAIL
    if (k >= p.r4) { return vec4(0.0); }
//#endif
    return wide(z[base + k]);
}

// Sums for 8 picks.
struct Sums { a: vec4<f32>, b: vec4<f32> }

// Adds what 4 values `v` of the patches make with those of the picks, of which lane l has pick l's.
fn add8(sums: Sums, v: vec4<f32>, s: vec4<f32>) -> Sums {
    return Sums(
        vec4(
            add_squares(sums.a.x, v - subgroupBroadcast(s, 0u)), add_squares(sums.a.y, v - subgroupBroadcast(s, 1u)),
            add_squares(sums.a.z, v - subgroupBroadcast(s, 2u)), add_squares(sums.a.w, v - subgroupBroadcast(s, 3u)),
        ),
        vec4(
            add_squares(sums.b.x, v - subgroupBroadcast(s, 4u)), add_squares(sums.b.y, v - subgroupBroadcast(s, 5u)),
            add_squares(sums.b.z, v - subgroupBroadcast(s, 6u)), add_squares(sums.b.w, v - subgroupBroadcast(s, 7u)),
        ),
    );
}

fn least(sums: Sums) -> f32 {
    let m = min(sums.a, sums.b);
    return min(min(m.x, m.y), min(m.z, m.w));
}
//#endif

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = select(state.tiles, 0u, state.picked >= p.picks);
    let first = state.first;
    let count = state.count;
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
        var limit = most8(4.0 * max(best, 0.0)) * MARGIN;
        let v0 = patch_part(base, 0u);
        let v1 = patch_part(base, 1u);
        let v2 = patch_part(base, 2u);
        let v3 = patch_part(base, 3u);
        let v4 = patch_part(base, 4u);
        let v5 = patch_part(base, 5u);
        let v6 = patch_part(base, 6u);
        let v7 = patch_part(base, 7u);
        var j0 = 0u;
        var left = 0u;
        loop {
            // The next 8 picks that come near, lane l has number l; fewer at the end, where the first is
            // repeated.
            var q = first;
            var n = 0u;
            while (n < 8u && (left != 0u || j0 < count)) {
                if (left == 0u) {
                    // Bit i stands for pick j0 + i. What follows the last pick in the table is nothing.
                    let j = j0 + 4u * lane;
                    var near = vec4<bool>();
                    if (j < count) {
                        near = (wide(table[(c * p.across + j) / 4u]) < vec4(limit)) & (vec4(j) + vec4(0u, 1u, 2u, 3u) < vec4(count));
                    }
                    let bits = select(vec4(0u), vec4(1u, 2u, 4u, 8u), near);
                    left = joined8((bits.x | bits.y | bits.z | bits.w) << (4u * lane));
                    j0 += 32u;
                } else {
                    // Lane l takes bit number l - n of those left.
                    var rest = left;
                    for (var i = 0u; i < 7u; i++) { rest &= select(0xffffffffu, rest - 1u, lane > n + i); }
                    if (lane >= n && rest != 0u) { q = first + j0 - 32u + firstTrailingBit(rest); }
                    let taken = min(8u - n, countOneBits(left));
                    for (var i = 0u; i < 8u; i++) { left &= select(0xffffffffu, left - 1u, i < taken); }
                    n += taken;
                }
            }
            if (n == 0u) { break; }
            q = select(subgroupBroadcast(q, 0u), q, lane < n);
            work += select(0u, n, entry != 0u);
            var sums = Sums();
            sums = add8(sums, v0, pick_part(q, 0u));
            sums = add8(sums, v1, pick_part(q, 1u));
            sums = add8(sums, v2, pick_part(q, 2u));
            sums = add8(sums, v3, pick_part(q, 3u));
            if (!any8(least(sums) < best)) { continue; }
            sums = add8(sums, v4, pick_part(q, 4u));
            sums = add8(sums, v5, pick_part(q, 5u));
            sums = add8(sums, v6, pick_part(q, 6u));
            sums = add8(sums, v7, pick_part(q, 7u));
            for (var at = 8u; at < p.r4; at += 4u) {
                if (!any8(least(sums) < best)) { break; }
                sums = add8(sums, patch_part(base, at + 0u), pick_part(q, at + 0u));
                sums = add8(sums, patch_part(base, at + 1u), pick_part(q, at + 1u));
                sums = add8(sums, patch_part(base, at + 2u), pick_part(q, at + 2u));
                sums = add8(sums, patch_part(base, at + 3u), pick_part(q, at + 3u));
            }
            let before = best;
            // In their order: the earlier pick wins a tie, as it does one at a time.
            let sum = array<f32, 8>(sums.a.x, sums.a.y, sums.a.z, sums.a.w, sums.b.x, sums.b.y, sums.b.z, sums.b.w);
            mine = select(mine, subgroupBroadcast(q, 0u), sum[0] < best);
            best = min(best, sum[0]);
            mine = select(mine, subgroupBroadcast(q, 1u), sum[1] < best);
            best = min(best, sum[1]);
            mine = select(mine, subgroupBroadcast(q, 2u), sum[2] < best);
            best = min(best, sum[2]);
            mine = select(mine, subgroupBroadcast(q, 3u), sum[3] < best);
            best = min(best, sum[3]);
            mine = select(mine, subgroupBroadcast(q, 4u), sum[4] < best);
            best = min(best, sum[4]);
            mine = select(mine, subgroupBroadcast(q, 5u), sum[5] < best);
            best = min(best, sum[5]);
            mine = select(mine, subgroupBroadcast(q, 6u), sum[6] < best);
            best = min(best, sum[6]);
            mine = select(mine, subgroupBroadcast(q, 7u), sum[7] < best);
            best = min(best, sum[7]);
            if (any8(best < before)) {
                let reach = old + sqrt(max(best, 0.0));
                limit = most8(reach * reach) * MARGIN;
            }
        }
//#else
        if (entry != 0u) {
            let c = mine;
            for (var j = 0u; j < count; j++) {
                let reach = old + sqrt(best);
                let at = c * p.across + j;
                if (wide(table[at / 4u])[at % 4u] < reach * reach * MARGIN) {
                    var sum = 0.0;
                    for (var k = 0u; k < p.r4; k++) {
                        sum = add_squares(sum, wide(z[base + k]) - bank_at((first + j) * p.r4 + k));
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
        let before = atomicAdd(&state.distances_low, work);
        if (before + work < before) { atomicAdd(&state.distances_high, 1u); }
    }
}
