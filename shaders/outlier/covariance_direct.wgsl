// Covariance of every group: c[i][j] = sum over x of a[x][i] a[x][j] / max(n - 1, 1), plus RIDGE where i = j.
// a [groups][n][R] centred rows -> c [groups][R][R], R % 4 = 0; only the tiles on and below the diagonal are
// written.
//
// For CPU drivers: no workgroup memory, no barrier. A workgroup is one SIMD register of 8 lanes and owns 32 x
// 32 outputs: a lane holds 4 columns of 32 rows; a sample's 32 values for the rows are loaded once by all
// lanes together and handed round with subgroup broadcasts (SUBGROUP, needs subgroups of exactly 8).
// Cost: n * 2 vec4 loads for 1024 n multiply-adds.
//#include shared/stored.wgsl
const RIDGE: f32 = 0.01;

struct Params {
    n: u32,
    r4: u32,
}

@group(0) @binding(0) var<storage, read> a: array<Stored>;
@group(0) @binding(1) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (wid.x > wid.y) { return; }
    let col4 = wid.x * 8u + lane;
    let row4 = wid.y * 8u;
    // Columns and rows past the end repeat the last ones and are not stored.
    let column_at = min(col4, p.r4 - 1u);
//#if SUBGROUP
    let row_at = min(row4 + lane, p.r4 - 1u);
//#endif
    var acc: array<vec4<f32>, 32>;
    for (var i = 0u; i < 32u; i++) { acc[i] = vec4(0.0); }
    for (var x = 0u; x < p.n; x++) {
        let start = (wid.z * p.n + x) * p.r4;
        let columns = wide(a[start + column_at]);
//#if SUBGROUP
        let rows = wide(a[start + row_at]);
        // The lane of a broadcast must be a constant expression, hence no loop.
        let s0 = subgroupBroadcast(rows, 0u);
        for (var j = 0u; j < 4u; j++) { acc[0u + j] += columns * s0[j]; }
        let s1 = subgroupBroadcast(rows, 1u);
        for (var j = 0u; j < 4u; j++) { acc[4u + j] += columns * s1[j]; }
        let s2 = subgroupBroadcast(rows, 2u);
        for (var j = 0u; j < 4u; j++) { acc[8u + j] += columns * s2[j]; }
        let s3 = subgroupBroadcast(rows, 3u);
        for (var j = 0u; j < 4u; j++) { acc[12u + j] += columns * s3[j]; }
        let s4 = subgroupBroadcast(rows, 4u);
        for (var j = 0u; j < 4u; j++) { acc[16u + j] += columns * s4[j]; }
        let s5 = subgroupBroadcast(rows, 5u);
        for (var j = 0u; j < 4u; j++) { acc[20u + j] += columns * s5[j]; }
        let s6 = subgroupBroadcast(rows, 6u);
        for (var j = 0u; j < 4u; j++) { acc[24u + j] += columns * s6[j]; }
        let s7 = subgroupBroadcast(rows, 7u);
        for (var j = 0u; j < 4u; j++) { acc[28u + j] += columns * s7[j]; }
//#else
        for (var i = 0u; i < 8u; i++) {
            let s = wide(a[start + min(row4 + i, p.r4 - 1u)]);
            for (var j = 0u; j < 4u; j++) { acc[4u * i + j] += columns * s[j]; }
        }
//#endif
    }
    let scale = 1.0 / f32(max(p.n, 2u) - 1u);
    for (var i = 0u; i < 32u; i++) {
        let row = 4u * row4 + i;
        if (row < 4u * p.r4 && col4 < p.r4) {
            let ridge = vec4<f32>(vec4(row) == 4u * col4 + vec4(0u, 1u, 2u, 3u)) * RIDGE;
            c[(wid.z * 4u * p.r4 + row) * p.r4 + col4] = acc[i] * scale + ridge;
        }
    }
}
