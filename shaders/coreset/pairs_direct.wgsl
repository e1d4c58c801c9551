// Squared distances between rows: mutual ones of the candidates, or with CENTRES those of the open clusters'
// centres from the batch's picks (and in `closeness` the smallest of each centre).
// x, y [..][r4] (CENTRES: both the bank), state, out [..][across]; with CENTRES open [..], clusters [picks].
//
// For CPU drivers, as gemm_direct: a workgroup of 8 lanes owns 8*TM rows by TN columns, the columns are
// loaded once and handed round by broadcasts (SUBGROUP). Workgroups walk the tiles with the grid's stride, as
// only the device knows how many there are.
const TM: u32 = 4u;
const TN: u32 = 16u;

//#include shared/coreset.wgsl
//#include shared/stored.wgsl
//#include shared/texels.wgsl

//#if TEXELS
@group(0) @binding(0) var x: Texels;
@group(0) @binding(1) var y: Texels;
fn x_at(i: u32) -> vec4<f32> { return textureLoad(x, texel(i)); }
fn y_at(i: u32) -> vec4<f32> { return textureLoad(y, texel(i)); }
//#else
@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read> y: array<Stored>;
fn x_at(i: u32) -> vec4<f32> { return wide(x[i]); }
fn y_at(i: u32) -> vec4<f32> { return wide(y[i]); }
//#endif
@group(0) @binding(2) var<storage, read> state: State;
//#if CENTRES
@group(0) @binding(3) var<storage, read> open: array<u32>;
@group(0) @binding(4) var<storage, read_write> clusters: array<CountingCluster>;
@group(0) @binding(5) var<storage, read_write> out: array<Stored>;
@group(0) @binding(6) var<uniform> p: Params;
//#else
@group(0) @binding(3) var<storage, read_write> out: array<Stored>;
@group(0) @binding(4) var<uniform> p: Params;
//#endif

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
//#if CENTRES
    let m = select(state.clusters, 0u, state.picked >= p.picks);
    let n = state.count;
    let y0 = state.first;
//#else
    let m = min(p.batch, state.candidates);
    let n = m;
    let y0 = 0u;
//#endif
    if (m == 0u || n == 0u) { return; }
    let across = (n + TN - 1u) / TN;
    let tiles = across * ((m + 8u * TM - 1u) / (8u * TM));
    for (var tile = wid.x; tile < tiles; tile += groups.x) {
        let row0 = tile / across * (8u * TM) + lane;
        let col0 = tile % across * TN;
        // Rows and columns past the end repeat the last one; whole vec4s of them are not stored.
        var row: array<u32, TM>;
        var base: array<u32, TM>;
        for (var j = 0u; j < TM; j++) {
            row[j] = min(row0 + 8u * j, m - 1u);
//#if CENTRES
            row[j] = open[row[j]];
//#endif
            base[j] = row[j] * p.r4;
        }
        var at: array<u32, TN / 8u>;
        for (var t = 0u; t < TN / 8u; t++) {
//#if SUBGROUP
            at[t] = (y0 + min(col0 + 8u * t + lane, n - 1u)) * p.r4;
//#else
            at[t] = col0 + 8u * t;
//#endif
        }
        var acc: array<array<f32, TM>, TN>;
        for (var i = 0u; i < TN; i++) { for (var j = 0u; j < TM; j++) { acc[i][j] = 0.0; } }
        for (var k = 0u; k < p.r4; k++) {
            var xv: array<vec4<f32>, TM>;
            for (var j = 0u; j < TM; j++) { xv[j] = x_at(base[j] + k); }
            for (var t = 0u; t < TN / 8u; t++) {
                // Columns past the end cost nothing where the whole workgroup passes over them.
                if (t > 0u && col0 + 8u * t >= n) { continue; }
//#if SUBGROUP
                let yv = y_at(at[t] + k);
                // The lane of a broadcast must be a constant expression, hence no loop.
                let s0 = subgroupBroadcast(yv, 0u);
                for (var j = 0u; j < TM; j++) { acc[8u * t][j] = add_squares(acc[8u * t][j], xv[j] - s0); }
                let s1 = subgroupBroadcast(yv, 1u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 1u][j] = add_squares(acc[8u * t + 1u][j], xv[j] - s1); }
                let s2 = subgroupBroadcast(yv, 2u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 2u][j] = add_squares(acc[8u * t + 2u][j], xv[j] - s2); }
                let s3 = subgroupBroadcast(yv, 3u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 3u][j] = add_squares(acc[8u * t + 3u][j], xv[j] - s3); }
                let s4 = subgroupBroadcast(yv, 4u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 4u][j] = add_squares(acc[8u * t + 4u][j], xv[j] - s4); }
                let s5 = subgroupBroadcast(yv, 5u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 5u][j] = add_squares(acc[8u * t + 5u][j], xv[j] - s5); }
                let s6 = subgroupBroadcast(yv, 6u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 6u][j] = add_squares(acc[8u * t + 6u][j], xv[j] - s6); }
                let s7 = subgroupBroadcast(yv, 7u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 7u][j] = add_squares(acc[8u * t + 7u][j], xv[j] - s7); }
//#else
                for (var i = 0u; i < 8u; i++) {
                    let s = y_at((y0 + min(at[t] + i, n - 1u)) * p.r4 + k);
                    for (var j = 0u; j < TM; j++) {
                        acc[8u * t + i][j] = add_squares(acc[8u * t + i][j], xv[j] - s);
                    }
                }
//#endif
            }
        }
        for (var j = 0u; j < TM; j++) {
            if (row0 + 8u * j < m) {
                // Columns that repeat the last one end up past it, and change no minimum.
                var least = acc[0][j];
                for (var i = 0u; i < TN; i += 4u) {
                    if (col0 + i < n) {
                        let v = vec4(acc[i][j], acc[i + 1u][j], acc[i + 2u][j], acc[i + 3u][j]);
                        out[(row[j] * p.across + col0 + i) / 4u] = stored(v);
                        least = min(least, min(min(v.x, v.y), min(v.z, v.w)));
                    }
                }
//#if CENTRES
                atomicMax(&clusters[row[j]].closeness, NEAREST - bitcast<u32>(least));
//#endif
            }
        }
    }
}
