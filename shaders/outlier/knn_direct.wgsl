// The K nearest other rows of every row within its group, by Euclidean distance, ascending; ties go to the
// smaller index. a [groups][n][R], R % 4 = 0 -> distances [groups][n][K], indices [groups][n][K] (rows of the
// group); 1 <= K < n. Distances are sums of squared differences, not |a|^2 + |b|^2 - 2 ab: near-duplicates
// keep all their digits, d(a, b) = d(b, a) exactly, and no norms are needed. A distance that is not finite is
// no neighbour: a row with fewer than K others left names itself, at the largest float.
//
// For CPU drivers: no workgroup memory, no barrier. A workgroup is one SIMD register of 8 lanes and owns 8*TM
// rows of one group; it walks all rows of the group TN at a time, loaded once by all lanes together and
// handed round with subgroup broadcasts (SUBGROUP, needs subgroups of exactly 8). The lists of the K nearest
// stay in registers. Cost: n/TN * R/4 * (TM + TN/8) vec4 loads for 8*TM*n*R differences, and n insertions
// into each of TM lists.
//#include shared/stored.wgsl
const K: u32 = 6u;
const TM: u32 = 3u;
const TN: u32 = 16u;
const LARGEST: f32 = 3.40282347e38;

struct Params {
    n: u32,
    r4: u32,
}

@group(0) @binding(0) var<storage, read> a: array<Stored>;
@group(0) @binding(1) var<storage, read_write> distances: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

fn square(v: vec4<f32>) -> f32 {
    return dot(v, v);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row0 = wid.x * (8u * TM) + lane;
    let group = wid.y * p.n;
    // Rows past the end repeat the last one and are not stored.
    var base: array<u32, TM>;
    for (var j = 0u; j < TM; j++) { base[j] = (group + min(row0 + 8u * j, p.n - 1u)) * p.r4; }
    var near: array<array<f32, K>, TM>;
    var who: array<array<u32, K>, TM>;
    for (var j = 0u; j < TM; j++) {
        for (var s = 0u; s < K; s++) {
            near[j][s] = LARGEST;
            who[j][s] = row0 + 8u * j;
        }
    }
    for (var col0 = 0u; col0 < p.n; col0 += TN) {
        var acc: array<array<f32, TM>, TN>;
        for (var i = 0u; i < TN; i++) { for (var j = 0u; j < TM; j++) { acc[i][j] = 0.0; } }
        var at: array<u32, TN / 8u>;
        for (var t = 0u; t < TN / 8u; t++) {
//#if SUBGROUP
            at[t] = (group + min(col0 + 8u * t + lane, p.n - 1u)) * p.r4;
//#else
            at[t] = (group + col0 + 8u * t) * p.r4;
//#endif
        }
        for (var k = 0u; k < p.r4; k++) {
            var xv: array<vec4<f32>, TM>;
            for (var j = 0u; j < TM; j++) { xv[j] = wide(a[base[j] + k]); }
            for (var t = 0u; t < TN / 8u; t++) {
//#if SUBGROUP
                let wv = wide(a[at[t] + k]);
                // The lane of a broadcast must be a constant expression, hence no loop.
                let s0 = subgroupBroadcast(wv, 0u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 0u][j] += square(xv[j] - s0); }
                let s1 = subgroupBroadcast(wv, 1u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 1u][j] += square(xv[j] - s1); }
                let s2 = subgroupBroadcast(wv, 2u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 2u][j] += square(xv[j] - s2); }
                let s3 = subgroupBroadcast(wv, 3u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 3u][j] += square(xv[j] - s3); }
                let s4 = subgroupBroadcast(wv, 4u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 4u][j] += square(xv[j] - s4); }
                let s5 = subgroupBroadcast(wv, 5u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 5u][j] += square(xv[j] - s5); }
                let s6 = subgroupBroadcast(wv, 6u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 6u][j] += square(xv[j] - s6); }
                let s7 = subgroupBroadcast(wv, 7u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 7u][j] += square(xv[j] - s7); }
//#else
                for (var i = 0u; i < 8u; i++) {
                    let s = wide(a[min(at[t] + i * p.r4, (group + p.n - 1u) * p.r4) + k]);
                    for (var j = 0u; j < TM; j++) { acc[8u * t + i][j] += square(xv[j] - s); }
                }
//#endif
            }
        }
        for (var i = 0u; i < TN; i++) {
            let col = col0 + i;
            for (var j = 0u; j < TM; j++) {
                let d = select(LARGEST, acc[i][j], col < p.n && col != row0 + 8u * j);
                // Columns come in ascending order, so that a strict comparison leaves ties to the smaller
                // index. From the far end: a slot takes its neighbour's entry where that one moves up, else d
                // where it belongs here. (Counted upwards: drivers unroll that, and a list that is indexed at
                // run time is slow.)
                for (var u = 1u; u < K; u++) {
                    let s = K - u;
                    let moved = d < near[j][s - 1u];
                    let here = d < near[j][s];
                    near[j][s] = select(select(near[j][s], d, here), near[j][s - 1u], moved);
                    who[j][s] = select(select(who[j][s], col, here), who[j][s - 1u], moved);
                }
                let first = d < near[j][0];
                near[j][0] = select(near[j][0], d, first);
                who[j][0] = select(who[j][0], col, first);
            }
        }
    }
    for (var j = 0u; j < TM; j++) {
        let row = row0 + 8u * j;
        if (row < p.n) {
            for (var s = 0u; s < K; s++) {
                distances[(group + row) * K + s] = select(LARGEST, sqrt(near[j][s]), near[j][s] < LARGEST);
                indices[(group + row) * K + s] = who[j][s];
            }
        }
    }
}
