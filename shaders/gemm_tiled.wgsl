// C = clamp(X * W^T + bias + residual, lo, hi): matrix product, and with CONV convolution as implicit GEMM.
// X [m][k] (CONV: NHWC activations), W [n][k] (CONV: [co][kh][kw][ci]), bias [n], residual and C [m][n]; k, n % 4 = 0.
//
// For GPUs: a workgroup of 256 owns 64 x 64 outputs, an invocation 4 x 4 (rows ty + 16 i, columns 4 tx .. 4 tx + 3).
// Each step stages 64 rows of X and of W, 16 values deep, in workgroup memory (10 KiB), kept as vec4 along k; a row
// pitch of 5 vec4 keeps 128-bit reads free of bank conflicts. Accumulators are named vectors: indexed ones spill.

//#include shared/gemm_params.wgsl

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> p: Params;

const PITCH: u32 = 5u;
var<workgroup> xs: array<vec4<f32>, 320>;
var<workgroup> ws: array<vec4<f32>, 320>;

fn columns(xv: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return vec4(dot(xv, w0), dot(xv, w1), dot(xv, w2), dot(xv, w3));
}

fn store(row: u32, col4: u32, acc: vec4<f32>) {
    if (row < p.m && 4u * col4 < p.n) {
        let to = row * (p.n / 4u) + col4;
        var v = acc + bias[col4];
        if (p.residual != 0u) { v += residual[to]; }
        c[to] = clamp(v, vec4(p.lo), vec4(p.hi));
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let row0 = (wid.y + wid.z * groups.y) * 64u;
    let col0 = wid.x * 64u;
    let tx = me % 16u;
    let ty = me / 16u;
    // What this invocation stages: row me / 4 of either tile, vec4 me % 4 of the step.
    let srow = me / 4u;
    let sk = me % 4u;
    let xrow = row0 + srow;
    let wrow = col0 + srow;
    let slot = srow * PITCH + sk;
    var acc0 = vec4(0.0);
    var acc1 = vec4(0.0);
    var acc2 = vec4(0.0);
    var acc3 = vec4(0.0);
//#if CONV
    let pixel = xrow % (p.out_h * p.out_w);
    let image = xrow / (p.out_h * p.out_w) * p.in_h;
    let oy = pixel / p.out_w * p.stride;
    let ox = pixel % p.out_w * p.stride;
//#endif
    // k runs over (kh, kw, ci) together, so that a stage can hold the end of one tap and the start of the next.
    for (var k = 0u; k < p.w_row4; k += 4u) {
        let kk = k + sk;
        var xv = vec4(0.0);
        var wv = vec4(0.0);
        if (kk < p.w_row4) {
//#if CONV
            let tap = kk / p.k4;
            let iy = oy + tap / p.kernel_w - p.pad_top;
            let ix = ox + tap % p.kernel_w - p.pad_left;
            if (xrow < p.m && iy < p.in_h && ix < p.in_w) {
                xv = x[((image + iy) * p.in_w + ix) * p.k4 + kk % p.k4];
            }
//#else
            if (xrow < p.m) { xv = x[xrow * p.k4 + kk]; }
//#endif
            if (wrow < p.n) { wv = w[wrow * p.w_row4 + kk]; }
        }
        workgroupBarrier();
        xs[slot] = xv;
        ws[slot] = wv;
        workgroupBarrier();
        for (var q = 0u; q < 4u; q++) {
            let w0 = ws[(4u * tx) * PITCH + q];
            let w1 = ws[(4u * tx + 1u) * PITCH + q];
            let w2 = ws[(4u * tx + 2u) * PITCH + q];
            let w3 = ws[(4u * tx + 3u) * PITCH + q];
            acc0 += columns(xs[ty * PITCH + q], w0, w1, w2, w3);
            acc1 += columns(xs[(ty + 16u) * PITCH + q], w0, w1, w2, w3);
            acc2 += columns(xs[(ty + 32u) * PITCH + q], w0, w1, w2, w3);
            acc3 += columns(xs[(ty + 48u) * PITCH + q], w0, w1, w2, w3);
        }
    }
    store(row0 + ty, wid.x * 16u + tx, acc0);
    store(row0 + ty + 16u, wid.x * 16u + tx, acc1);
    store(row0 + ty + 32u, wid.x * 16u + tx, acc2);
    store(row0 + ty + 48u, wid.x * 16u + tx, acc3);
}
