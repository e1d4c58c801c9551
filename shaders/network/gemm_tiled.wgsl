// C = clamp(X * W^T + bias + residual, lo, hi): matrix product, and with CONV convolution as implicit GEMM.
// X [m][k] (CONV: NHWC activations), W [n][k] (CONV: [co][kh][kw][ci]), bias [n], residual and C [m][n]; k, n
// % 4 = 0. With F16, X, W, residual and C are stored as f16.
//
// For GPUs: a workgroup of 256 owns 64 x 64 outputs, an invocation 4 x 4 (rows ty + 16 i, columns 4 tx .. 4
// tx + 3); with BIG 128 x 128 and 8 x 8 (columns 64 + 4 tx .. too); with SMALL a workgroup of 64 owns 32 x 32
// (rows ty + 8 i). Each step stages the tile's rows of X and of W, 16 values deep (SMALL 32), in workgroup
// memory (8 KiB, BIG 16), kept as vec4 along k, while the next step's loads are under way. Accumulators are
// named vectors: indexed ones spill. Cost per vec4 of k and invocation: 8 (BIG 16) vec4 reads of workgroup
// memory for 64 (256) multiply-adds.

//#include shared/stored.wgsl
//#include shared/gemm_params.wgsl

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read> w: array<Stored>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<Stored>;
@group(0) @binding(4) var<storage, read_write> c: array<Stored>;
@group(0) @binding(5) var<uniform> p: Params;

// Sides of the tile, vec4s of k in a step, and how many invocations lie side by side. Where vec4 `q` of a row
// lies: the exclusive or spreads the same q of 8 neighbouring rows over all banks.
//#if SMALL
const TILE: u32 = 32u;
const DEPTH: u32 = 8u;
const ACROSS: u32 = 8u;
fn slot(row: u32, q: u32) -> u32 { return 8u * row + (q ^ (row & 7u)); }
//#else
//#if BIG
const TILE: u32 = 128u;
//#else
const TILE: u32 = 64u;
//#endif
const DEPTH: u32 = 4u;
const ACROSS: u32 = 16u;
fn slot(row: u32, q: u32) -> u32 { return 4u * row + (q ^ ((row >> 1u) & 3u)); }
//#endif
var<workgroup> xs: array<vec4<f32>, DEPTH * TILE>;
var<workgroup> ws: array<vec4<f32>, DEPTH * TILE>;

// A vec4 of k of one row of X and of four rows of W.
fn step(acc: vec4<f32>, xv: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    var sum = fma(xv.xxxx, vec4(w0.x, w1.x, w2.x, w3.x), acc);
    sum = fma(xv.yyyy, vec4(w0.y, w1.y, w2.y, w3.y), sum);
    sum = fma(xv.zzzz, vec4(w0.z, w1.z, w2.z, w3.z), sum);
    return fma(xv.wwww, vec4(w0.w, w1.w, w2.w, w3.w), sum);
}

fn store(row: u32, col4: u32, acc: vec4<f32>) {
    if (row < p.m && 4u * col4 < p.n) {
        let to = row * (p.n / 4u) + col4;
        var v = acc + bias[col4];
        if (p.residual != 0u) { v += wide(residual[to + p.residual - 1u]); }
        c[to] = stored(clamp(v, vec4(p.lo), vec4(p.hi)));
    }
}

fn load_w(row: u32, k: u32) -> vec4<f32> {
    if (row < p.n && k < p.w_row4) { return wide(w[row * p.w_row4 + k]); }
    return vec4(0.0);
}

//#if CONV
alias Staged = vec4<f32>;
fn staged(v: Stored) -> Staged { return wide(v); }
//#include shared/conv_rows.wgsl
//#else
fn load_x(row: u32, k: u32) -> vec4<f32> {
    if (row < p.m && k < p.k4) { return wide(x[row * p.k4 + k]); }
    return vec4(0.0);
}
//#endif

@compute @workgroup_size(ACROSS * ACROSS)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let row0 = (wid.y + wid.z * groups.y) * TILE;
    let col0 = wid.x * TILE;
    let tx = me % ACROSS;
    let ty = me / ACROSS;
    // What this invocation stages: vec4 `sk` of the step of row `srow` of either tile (BIG: and the row 64
    // further, SMALL: those 8, 16 and 24 further). The rows of W lie so that the four columns of an invocation
    // are ACROSS apart, and neighbours read neighbours.
    let srow = me / DEPTH;
    let sk = me % DEPTH;
    let xslot = slot(srow, sk);
    let wrow = srow % 4u * ACROSS + srow / 4u;
    let wslot = slot(wrow, sk);
    var a0 = vec4(0.0);
    var a1 = vec4(0.0);
    var a2 = vec4(0.0);
    var a3 = vec4(0.0);
//#if BIG
    var a4 = vec4(0.0);
    var a5 = vec4(0.0);
    var a6 = vec4(0.0);
    var a7 = vec4(0.0);
    var b0 = vec4(0.0);
    var b1 = vec4(0.0);
    var b2 = vec4(0.0);
    var b3 = vec4(0.0);
    var b4 = vec4(0.0);
    var b5 = vec4(0.0);
    var b6 = vec4(0.0);
    var b7 = vec4(0.0);
//#endif
    // k runs over (kh, kw, ci) together, so that a stage can hold the end of one tap and the start of the
    // next.
    var kk = sk;
//#if CONV
    let from0 = origin(row0 + srow);
    var at = forward(Place(0u, 0u, sk));
    var x0 = load_x(from0, at);
//#else
    var x0 = load_x(row0 + srow, kk);
//#endif
    var w0 = load_w(col0 + srow, kk);
//#if BIG
//#if CONV
    let from1 = origin(row0 + 64u + srow);
    var x1 = load_x(from1, at);
//#else
    var x1 = load_x(row0 + 64u + srow, kk);
//#endif
    var w1 = load_w(col0 + 64u + srow, kk);
//#endif
//#if SMALL
//#if CONV
    let from1 = origin(row0 + 8u + srow);
    let from2 = origin(row0 + 16u + srow);
    let from3 = origin(row0 + 24u + srow);
    var x1 = load_x(from1, at);
    var x2 = load_x(from2, at);
    var x3 = load_x(from3, at);
//#else
    var x1 = load_x(row0 + 8u + srow, kk);
    var x2 = load_x(row0 + 16u + srow, kk);
    var x3 = load_x(row0 + 24u + srow, kk);
//#endif
    var w1 = load_w(col0 + 8u + srow, kk);
    var w2 = load_w(col0 + 16u + srow, kk);
    var w3 = load_w(col0 + 24u + srow, kk);
//#endif
    for (var k = 0u; k < p.w_row4; k += DEPTH) {
        workgroupBarrier();
        xs[xslot] = x0;
        ws[wslot] = w0;
//#if BIG
        xs[256u + xslot] = x1;
        ws[256u + wslot] = w1;
//#endif
//#if SMALL
        xs[xslot + 64u] = x1;
        xs[xslot + 128u] = x2;
        xs[xslot + 192u] = x3;
        ws[slot(wrow + 2u, sk)] = w1;
        ws[slot(wrow + 4u, sk)] = w2;
        ws[slot(wrow + 6u, sk)] = w3;
//#endif
        workgroupBarrier();
        kk += DEPTH;
        w0 = load_w(col0 + srow, kk);
//#if BIG
        w1 = load_w(col0 + 64u + srow, kk);
//#endif
//#if SMALL
        w1 = load_w(col0 + 8u + srow, kk);
        w2 = load_w(col0 + 16u + srow, kk);
        w3 = load_w(col0 + 24u + srow, kk);
//#endif
//#if CONV
        at.ci += DEPTH;
        at = forward(at);
        x0 = load_x(from0, at);
//#if BIG
        x1 = load_x(from1, at);
//#endif
//#if SMALL
        x1 = load_x(from1, at);
        x2 = load_x(from2, at);
        x3 = load_x(from3, at);
//#endif
//#else
        x0 = load_x(row0 + srow, kk);
//#if BIG
        x1 = load_x(row0 + 64u + srow, kk);
//#endif
//#if SMALL
        x1 = load_x(row0 + 8u + srow, kk);
        x2 = load_x(row0 + 16u + srow, kk);
        x3 = load_x(row0 + 24u + srow, kk);
//#endif
//#endif
        for (var q = 0u; q < DEPTH; q++) {
            let xa = slot(ty, q);
            let wa = slot(tx, q);
            let u0 = ws[wa];
            let u1 = ws[wa + 64u];
            let u2 = ws[wa + 128u];
            let u3 = ws[wa + 192u];
            let y0 = xs[xa];
            let y1 = xs[xa + 64u];
            let y2 = xs[xa + 128u];
            let y3 = xs[xa + 192u];
            a0 = step(a0, y0, u0, u1, u2, u3);
            a1 = step(a1, y1, u0, u1, u2, u3);
            a2 = step(a2, y2, u0, u1, u2, u3);
            a3 = step(a3, y3, u0, u1, u2, u3);
//#if BIG
            let v0 = ws[wa + 256u];
            let v1 = ws[wa + 320u];
            let v2 = ws[wa + 384u];
            let v3 = ws[wa + 448u];
            b0 = step(b0, y0, v0, v1, v2, v3);
            b1 = step(b1, y1, v0, v1, v2, v3);
            b2 = step(b2, y2, v0, v1, v2, v3);
            b3 = step(b3, y3, v0, v1, v2, v3);
            let y4 = xs[xa + 256u];
            let y5 = xs[xa + 320u];
            let y6 = xs[xa + 384u];
            let y7 = xs[xa + 448u];
            a4 = step(a4, y4, u0, u1, u2, u3);
            b4 = step(b4, y4, v0, v1, v2, v3);
            a5 = step(a5, y5, u0, u1, u2, u3);
            b5 = step(b5, y5, v0, v1, v2, v3);
            a6 = step(a6, y6, u0, u1, u2, u3);
            b6 = step(b6, y6, v0, v1, v2, v3);
            a7 = step(a7, y7, u0, u1, u2, u3);
            b7 = step(b7, y7, v0, v1, v2, v3);
//#endif
        }
    }
    let row = row0 + ty;
    let col4 = col0 / 4u + tx;
    store(row, col4, a0);
    store(row + ACROSS, col4, a1);
    store(row + 2u * ACROSS, col4, a2);
    store(row + 3u * ACROSS, col4, a3);
//#if BIG
    store(row + 64u, col4, a4);
    store(row + 80u, col4, a5);
    store(row + 96u, col4, a6);
    store(row + 112u, col4, a7);
    store(row, col4 + 16u, b0);
    store(row + 16u, col4 + 16u, b1);
    store(row + 32u, col4 + 16u, b2);
    store(row + 48u, col4 + 16u, b3);
    store(row + 64u, col4 + 16u, b4);
    store(row + 80u, col4 + 16u, b5);
    store(row + 96u, col4 + 16u, b6);
    store(row + 112u, col4 + 16u, b7);
//#endif
}
