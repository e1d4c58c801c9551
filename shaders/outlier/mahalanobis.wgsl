// Outlier score by Mahalanobis distance: scores[x] = sqrt(a^T C^-1 a) + 1 = |L^-1 a| + 1 with the Cholesky
// factor C = L L^T. a [groups][n][R] centred rows, overwritten by L^-1 a; factor [groups][R][R], lower
// triangles with the diagonal as reciprocals (cholesky.wgsl); R % 4 = 0 -> scores [n][positions] at column p0
// + group.
//
// Forward substitution, 8 columns at a time: the part from the columns already known is a matrix product, the
// 8 x 8 triangle is solved in registers. An invocation owns TM rows of one group; no workgroup memory, no
// barrier. With SUBGROUP (CPU drivers, subgroups of exactly 8, workgroup of 8) the factor is loaded once by
// all lanes together and handed round; without, every invocation of a workgroup reads the same words of it.
// Cost: R^2/2 multiply-adds per row.
const WORKGROUP: u32 = 64u;
const TM: u32 = 1u;

struct Params {
    n: u32,
    r4: u32,
    positions: u32,
    p0: u32,
}

//#include shared/forward8.wgsl

@group(0) @binding(0) var<storage, read> factor: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

// Start of a row of the group's factor; past the end the last one, whose products are not used.
fn row_of(group: u32, row: u32) -> u32 {
    return (group * 4u * p.r4 + min(row, 4u * p.r4 - 1u)) * p.r4;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let group = wid.y;
    let row0 = wid.x * (WORKGROUP * TM) + me;
    // Rows past the end read the last one and are not stored.
    var base: array<u32, TM>;
    var sum: array<f32, TM>;
    for (var j = 0u; j < TM; j++) {
        base[j] = (group * p.n + min(row0 + WORKGROUP * j, p.n - 1u)) * p.r4;
        sum[j] = 0.0;
    }
    for (var c4 = 0u; c4 < p.r4; c4 += 2u) {
        let c0 = 4u * c4;
        let wide = c4 + 1u < p.r4;
        var acc: array<Eight, TM>;
        for (var j = 0u; j < TM; j++) {
            acc[j].lo = a[base[j] + c4];
            acc[j].hi = vec4(0.0);
            if (wide) { acc[j].hi = a[base[j] + c4 + 1u]; }
        }
        for (var k = 0u; k < c4; k++) {
            var yv: array<vec4<f32>, TM>;
            for (var j = 0u; j < TM; j++) { yv[j] = a[base[j] + k]; }
//#if SUBGROUP
            let lv = factor[row_of(group, c0 + me) + k];
            // The lane of a broadcast must be a constant expression, hence no loop.
            let s0 = subgroupBroadcast(lv, 0u);
            for (var j = 0u; j < TM; j++) { acc[j].lo.x -= dot(yv[j], s0); }
            let s1 = subgroupBroadcast(lv, 1u);
            for (var j = 0u; j < TM; j++) { acc[j].lo.y -= dot(yv[j], s1); }
            let s2 = subgroupBroadcast(lv, 2u);
            for (var j = 0u; j < TM; j++) { acc[j].lo.z -= dot(yv[j], s2); }
            let s3 = subgroupBroadcast(lv, 3u);
            for (var j = 0u; j < TM; j++) { acc[j].lo.w -= dot(yv[j], s3); }
            let s4 = subgroupBroadcast(lv, 4u);
            for (var j = 0u; j < TM; j++) { acc[j].hi.x -= dot(yv[j], s4); }
            let s5 = subgroupBroadcast(lv, 5u);
            for (var j = 0u; j < TM; j++) { acc[j].hi.y -= dot(yv[j], s5); }
            let s6 = subgroupBroadcast(lv, 6u);
            for (var j = 0u; j < TM; j++) { acc[j].hi.z -= dot(yv[j], s6); }
            let s7 = subgroupBroadcast(lv, 7u);
            for (var j = 0u; j < TM; j++) { acc[j].hi.w -= dot(yv[j], s7); }
//#else
            let s0 = factor[row_of(group, c0 + 0u) + k];
            for (var j = 0u; j < TM; j++) { acc[j].lo.x -= dot(yv[j], s0); }
            let s1 = factor[row_of(group, c0 + 1u) + k];
            for (var j = 0u; j < TM; j++) { acc[j].lo.y -= dot(yv[j], s1); }
            let s2 = factor[row_of(group, c0 + 2u) + k];
            for (var j = 0u; j < TM; j++) { acc[j].lo.z -= dot(yv[j], s2); }
            let s3 = factor[row_of(group, c0 + 3u) + k];
            for (var j = 0u; j < TM; j++) { acc[j].lo.w -= dot(yv[j], s3); }
            let s4 = factor[row_of(group, c0 + 4u) + k];
            for (var j = 0u; j < TM; j++) { acc[j].hi.x -= dot(yv[j], s4); }
            let s5 = factor[row_of(group, c0 + 5u) + k];
            for (var j = 0u; j < TM; j++) { acc[j].hi.y -= dot(yv[j], s5); }
            let s6 = factor[row_of(group, c0 + 6u) + k];
            for (var j = 0u; j < TM; j++) { acc[j].hi.z -= dot(yv[j], s6); }
            let s7 = factor[row_of(group, c0 + 7u) + k];
            for (var j = 0u; j < TM; j++) { acc[j].hi.w -= dot(yv[j], s7); }
//#endif
        }
        var t: Triangle;
//#if SUBGROUP
        let at = row_of(group, c0 + me) + c4;
        let l0 = factor[at];
        var l1 = vec4(0.0);
        if (wide) { l1 = factor[at + 1u]; }
        t.lo[0] = subgroupBroadcast(l0, 0u);
        t.hi[0] = subgroupBroadcast(l1, 0u);
        t.lo[1] = subgroupBroadcast(l0, 1u);
        t.hi[1] = subgroupBroadcast(l1, 1u);
        t.lo[2] = subgroupBroadcast(l0, 2u);
        t.hi[2] = subgroupBroadcast(l1, 2u);
        t.lo[3] = subgroupBroadcast(l0, 3u);
        t.hi[3] = subgroupBroadcast(l1, 3u);
        t.lo[4] = subgroupBroadcast(l0, 4u);
        t.hi[4] = subgroupBroadcast(l1, 4u);
        t.lo[5] = subgroupBroadcast(l0, 5u);
        t.hi[5] = subgroupBroadcast(l1, 5u);
        t.lo[6] = subgroupBroadcast(l0, 6u);
        t.hi[6] = subgroupBroadcast(l1, 6u);
        t.lo[7] = subgroupBroadcast(l0, 7u);
        t.hi[7] = subgroupBroadcast(l1, 7u);
//#else
        for (var i = 0u; i < 8u; i++) {
            let at = row_of(group, c0 + i) + c4;
            t.lo[i] = factor[at];
            t.hi[i] = vec4(0.0);
            if (wide) { t.hi[i] = factor[at + 1u]; }
        }
//#endif
        for (var j = 0u; j < TM; j++) {
            let y = forward8(t, acc[j]);
            sum[j] += dot(y.lo, y.lo);
            if (wide) { sum[j] += dot(y.hi, y.hi); }
            if (row0 + WORKGROUP * j < p.n) {
                a[base[j] + c4] = y.lo;
                if (wide) { a[base[j] + c4 + 1u] = y.hi; }
            }
        }
    }
    for (var j = 0u; j < TM; j++) {
        let row = row0 + WORKGROUP * j;
        if (row < p.n) { scores[row * p.positions + p.p0 + group] = sqrt(sum[j]) + 1.0; }
    }
}
