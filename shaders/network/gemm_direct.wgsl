// C = clamp(X * W^T + bias + residual, lo, hi): matrix product, and with CONV convolution as implicit GEMM.
// X [m][k] (CONV: NHWC activations), W [n][k] (CONV: [co][kh][kw][ci]), bias [n], residual and C [m][n]; k, n
// % 4 = 0. With F16, X, W, residual and C are stored as f16.
//
// For CPU drivers: no workgroup memory, no barrier. A workgroup is one SIMD register of 8 lanes and owns 8*TM
// rows by TN columns: every lane holds TM rows, and the columns' weights are loaded once by all lanes
// together and handed round with subgroup broadcasts (SUBGROUP, needs subgroups of exactly 8), since on such
// drivers a load costs as much as dozens of multiply-adds. Cost: k/4 * (TM + TN/8) vec4 loads for 8*TM*TN*k
// multiply-adds.
//#include shared/stored.wgsl
//#include shared/texels.wgsl
const TM: u32 = 4u;
const TN: u32 = 24u;

//#include shared/gemm_params.wgsl

@group(0) @binding(0) var<storage, read> x: array<Stored>;
//#if TEXELS
@group(0) @binding(1) var w: Texels;
fn w_at(i: u32) -> vec4<f32> { return textureLoad(w, texel(i)); }
//#else
@group(0) @binding(1) var<storage, read> w: array<Stored>;
fn w_at(i: u32) -> vec4<f32> { return wide(w[i]); }
//#endif
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<Stored>;
@group(0) @binding(4) var<storage, read_write> c: array<Stored>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row0 = (wid.y + wid.z * groups.y) * (8u * TM) + lane;
    let col0 = wid.x * TN;
    // Rows and columns past the end repeat the last one and are not stored.
//#if CONV
    var image: array<u32, TM>;
    var oy: array<u32, TM>;
    var ox: array<u32, TM>;
    for (var i = 0u; i < TM; i++) {
        let row = min(row0 + 8u * i, p.m - 1u);
        let pixel = row % (p.out_h * p.out_w);
        image[i] = row / (p.out_h * p.out_w) * p.in_h;
        oy[i] = pixel / p.out_w * p.stride;
        ox[i] = pixel % p.out_w * p.stride;
    }
//#else
    var base: array<u32, TM>;
    for (var i = 0u; i < TM; i++) { base[i] = min(row0 + 8u * i, p.m - 1u) * p.k4; }
//#endif
//#if SUBGROUP
    var at: array<u32, TN / 8u>;
    for (var t = 0u; t < TN / 8u; t++) { at[t] = min(col0 + 8u * t + lane, p.n - 1u) * p.w_row4; }
//#else
    // Where the tap's weights begin in a row of W.
    var tap_at = 0u;
//#endif
    var acc: array<array<f32, TM>, TN>;
    for (var i = 0u; i < TN; i++) { for (var j = 0u; j < TM; j++) { acc[i][j] = 0.0; } }

//#if CONV
    for (var tap = 0u; tap < p.kernel_h * p.kernel_w; tap++) {
        var base: array<u32, TM>;
        var inside: array<bool, TM>;
        for (var j = 0u; j < TM; j++) {
            // Unsigned wrap-around makes a negative coordinate larger than any size.
            let iy = oy[j] + tap / p.kernel_w - p.pad_top;
            let ix = ox[j] + tap % p.kernel_w - p.pad_left;
            inside[j] = iy < p.in_h && ix < p.in_w;
            base[j] = select(0u, ((image[j] + iy) * p.in_w + ix) * p.k4, inside[j]);
        }
//#endif
        for (var k = 0u; k < p.k4; k++) {
            var xv: array<vec4<f32>, TM>;
            for (var j = 0u; j < TM; j++) {
                xv[j] = wide(x[base[j] + k]);
//#if CONV
                xv[j] = select(vec4(0.0), xv[j], inside[j]);
//#endif
            }
            for (var t = 0u; t < TN / 8u; t++) {
                // Columns past the end cost nothing where the whole workgroup passes over them.
                if (t > 0u && col0 + 8u * t >= p.n) { continue; }
//#if SUBGROUP
                let wv = w_at(at[t] + k);
                // The lane of a broadcast must be a constant expression, hence no loop.
                let s0 = subgroupBroadcast(wv, 0u);
                for (var j = 0u; j < TM; j++) { acc[8u * t][j] += dot(xv[j], s0); }
                let s1 = subgroupBroadcast(wv, 1u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 1u][j] += dot(xv[j], s1); }
                let s2 = subgroupBroadcast(wv, 2u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 2u][j] += dot(xv[j], s2); }
                let s3 = subgroupBroadcast(wv, 3u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 3u][j] += dot(xv[j], s3); }
                let s4 = subgroupBroadcast(wv, 4u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 4u][j] += dot(xv[j], s4); }
                let s5 = subgroupBroadcast(wv, 5u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 5u][j] += dot(xv[j], s5); }
                let s6 = subgroupBroadcast(wv, 6u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 6u][j] += dot(xv[j], s6); }
                let s7 = subgroupBroadcast(wv, 7u);
                for (var j = 0u; j < TM; j++) { acc[8u * t + 7u][j] += dot(xv[j], s7); }
//#else
                for (var i = 0u; i < 8u; i++) {
                    let s = w_at(min(col0 + 8u * t + i, p.n - 1u) * p.w_row4 + tap_at + k);
                    for (var j = 0u; j < TM; j++) { acc[8u * t + i][j] += dot(xv[j], s); }
                }
//#endif
            }
        }
//#if CONV
//#if SUBGROUP
        for (var t = 0u; t < TN / 8u; t++) { at[t] += p.k4; }
//#else
        tap_at += p.k4;
//#endif
    }
//#endif

    for (var i = 0u; i < TN / 4u; i++) {
        let col4 = col0 / 4u + i;
        if (4u * col4 < p.n) {
            let b = bias[col4];
            for (var j = 0u; j < TM; j++) {
                if (row0 + 8u * j < p.m) {
                    let to = (row0 + 8u * j) * (p.n / 4u) + col4;
                    var v = b + vec4(acc[4u * i][j], acc[4u * i + 1u][j], acc[4u * i + 2u][j], acc[4u * i + 3u][j]);
                    if (p.residual != 0u) { v += wide(residual[to + p.residual - 1u]); }
                    c[to] = stored(clamp(v, vec4(p.lo), vec4(p.hi)));
                }
            }
        }
    }
}
