// C = clamp(X * W^T + bias + residual, lo, hi) on tensor cores: operands in f16, sums in f32. Matrix product,
// and with CONV convolution as implicit GEMM. Shapes as in gemm_tiled.wgsl: X [m][k], W [n][k], bias [n] in
// f32, residual and C [m][n].
//
// A fragment is SIDE x SIDE values (16; with EIGHT 8) held by the LANES of a subgroup together. A workgroup
// of 4 subgroups owns 4 SIDE x 4 SIDE outputs, a subgroup 2 x 2 fragments; with BIG 8 subgroups own 8 SIDE x
// 8 SIDE, each 4 x 2. A step stages the tile's rows of X and W, K4 vec4 deep, in workgroup memory, four of
// each per invocation, while the next step's loads are under way. The sums leave through a fragment of
// workgroup memory for each subgroup. Cost per step and subgroup: K4 SIDE/4 * 4 (BIG 6) fragment loads for as
// many 4 (8) fragment products.
enable f16;
//#if !SOFT
enable wgpu_cooperative_matrix;
//#endif

// Set by the host.
const LANES: u32 = 32u;

//#if EIGHT
const SIDE: u32 = 8u;
//#else
const SIDE: u32 = 16u;
//#endif
//#if BIG
const SUBGROUPS: u32 = 8u;
const ACROSS: u32 = 4u;
const ROWS: u32 = 4u * SIDE;
const TILE: u32 = 8u * SIDE;
//#else
const SUBGROUPS: u32 = 4u;
const ACROSS: u32 = 2u;
const ROWS: u32 = 2u * SIDE;
const TILE: u32 = 4u * SIDE;
//#endif
const COLUMNS: u32 = 2u * SIDE;
// Four vec4 of either tile per invocation make K4 vec4 per row; 16 bytes more keep rows on different banks.
const K4: u32 = 4u * SUBGROUPS * LANES / TILE;
const PITCH: u32 = K4 + 2u;

//#include shared/gemm_params.wgsl

@group(0) @binding(0) var<storage, read> x: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f16>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f16>>;
@group(0) @binding(5) var<uniform> p: Params;

alias Staged = vec4<f16>;
//#include shared/fragments.wgsl

fn load_w(row: u32, k: u32) -> vec4<f16> {
    if (row < p.n && k < p.w_row4) { return w[row * p.w_row4 + k]; }
    return vec4(0.0h);
}

//#if CONV
fn staged(v: vec4<f16>) -> Staged { return v; }
//#include shared/conv_rows.wgsl
//#else
fn load_x(row: u32, k: u32) -> vec4<f16> {
    if (row < p.m && k < p.k4) { return x[row * p.k4 + k]; }
    return vec4(0.0h);
}
//#endif

// Brings the fragment that lies in the subgroup's part of `sums` to rows `row ..` and columns `4 col4 ..` of
// C.
fn store(base: u32, lane: u32, row: u32, col4: u32) {
    for (var e = lane; e < SIDE * SIDE / 4u; e += LANES) {
        let r = row + e / (SIDE / 4u);
        let q = col4 + e % (SIDE / 4u);
        if (r < p.m && 4u * q < p.n) {
            let s = base + 4u * e;
            let to = r * (p.n / 4u) + q;
            var v = vec4(sums[s], sums[s + 1u], sums[s + 2u], sums[s + 3u]) + bias[q];
            if (p.residual != 0u) { v += vec4<f32>(residual[to + p.residual - 1u]); }
            c[to] = vec4<f16>(clamp(v, vec4(p.lo), vec4(p.hi)));
        }
    }
}

@compute @workgroup_size(SUBGROUPS * LANES)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
//#if !SOFT
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
//#endif
) {
//#if !SOFT
    // Were there more of them than LANES says, the answers would be wrong, as a self-test finds, but no
    // memory but ours touched.
    let sg = min(subgroup, SUBGROUPS - 1u);
//#endif
//#if SOFT
    let sg = me / LANES;
    let lane = me % LANES;
    own = lane;
//#endif
    let row0 = (wid.y + wid.z * groups.y) * TILE;
    let col0 = wid.x * TILE;
    // What this invocation stages: vec4 `sk` of rows srow, srow + TILE / 4, ... of either tile.
    let srow = me / K4;
    let sk = me % K4;
    let slot = srow * PITCH + sk;
    // The subgroup's rows and columns of the tile.
    let xr = sg / ACROSS * ROWS;
    let wr = sg % ACROSS * COLUMNS;
    let base = sg * SIDE * SIDE;
    for (var e = lane; e < SIDE * SIDE; e += LANES) { sums[base + e] = 0.0; }
    workgroupBarrier();
    var c00 = load_sum(base);
    var c01 = load_sum(base);
    var c10 = load_sum(base);
    var c11 = load_sum(base);
//#if BIG
    var c20 = load_sum(base);
    var c21 = load_sum(base);
    var c30 = load_sum(base);
    var c31 = load_sum(base);
//#endif
    var kk = sk;
//#if CONV
    let from0 = origin(row0 + srow);
    let from1 = origin(row0 + srow + TILE / 4u);
    let from2 = origin(row0 + srow + TILE / 2u);
    let from3 = origin(row0 + srow + 3u * TILE / 4u);
    var at = forward(Place(0u, 0u, sk));
    var x0 = load_x(from0, at);
    var x1 = load_x(from1, at);
    var x2 = load_x(from2, at);
    var x3 = load_x(from3, at);
//#else
    var x0 = load_x(row0 + srow, kk);
    var x1 = load_x(row0 + srow + TILE / 4u, kk);
    var x2 = load_x(row0 + srow + TILE / 2u, kk);
    var x3 = load_x(row0 + srow + 3u * TILE / 4u, kk);
//#endif
    var w0 = load_w(col0 + srow, kk);
    var w1 = load_w(col0 + srow + TILE / 4u, kk);
    var w2 = load_w(col0 + srow + TILE / 2u, kk);
    var w3 = load_w(col0 + srow + 3u * TILE / 4u, kk);
    for (var k = 0u; k < p.w_row4; k += K4) {
        workgroupBarrier();
        put_x(slot, x0);
        put_x(slot + TILE / 4u * PITCH, x1);
        put_x(slot + TILE / 2u * PITCH, x2);
        put_x(slot + 3u * TILE / 4u * PITCH, x3);
        put_w(slot, w0);
        put_w(slot + TILE / 4u * PITCH, w1);
        put_w(slot + TILE / 2u * PITCH, w2);
        put_w(slot + 3u * TILE / 4u * PITCH, w3);
        workgroupBarrier();
        kk += K4;
        w0 = load_w(col0 + srow, kk);
        w1 = load_w(col0 + srow + TILE / 4u, kk);
        w2 = load_w(col0 + srow + TILE / 2u, kk);
        w3 = load_w(col0 + srow + 3u * TILE / 4u, kk);
//#if CONV
        at.ci += K4;
        at = forward(at);
        x0 = load_x(from0, at);
        x1 = load_x(from1, at);
        x2 = load_x(from2, at);
        x3 = load_x(from3, at);
//#else
        x0 = load_x(row0 + srow, kk);
        x1 = load_x(row0 + srow + TILE / 4u, kk);
        x2 = load_x(row0 + srow + TILE / 2u, kk);
        x3 = load_x(row0 + srow + 3u * TILE / 4u, kk);
//#endif
        for (var q = 0u; q < K4; q += SIDE / 4u) {
            let u0 = fragment_w(wr * PITCH + q);
            let u1 = fragment_w((wr + SIDE) * PITCH + q);
            let y0 = fragment_x(xr * PITCH + q);
            c00 = multiply_add(y0, u0, c00);
            c01 = multiply_add(y0, u1, c01);
            let y1 = fragment_x((xr + SIDE) * PITCH + q);
            c10 = multiply_add(y1, u0, c10);
            c11 = multiply_add(y1, u1, c11);
//#if BIG
            let y2 = fragment_x((xr + 2u * SIDE) * PITCH + q);
            c20 = multiply_add(y2, u0, c20);
            c21 = multiply_add(y2, u1, c21);
            let y3 = fragment_x((xr + 3u * SIDE) * PITCH + q);
            c30 = multiply_add(y3, u0, c30);
            c31 = multiply_add(y3, u1, c31);
//#endif
        }
    }
    // `sums` holds one fragment for each subgroup: a barrier before it is read and one before it is written
    // again.
    let row = row0 + xr;
    let col4 = (col0 + wr) / 4u;
    store_sum(base, c00);
    workgroupBarrier();
    store(base, lane, row, col4);
    workgroupBarrier();
    store_sum(base, c01);
    workgroupBarrier();
    store(base, lane, row, col4 + SIDE / 4u);
    workgroupBarrier();
    store_sum(base, c10);
    workgroupBarrier();
    store(base, lane, row + SIDE, col4);
    workgroupBarrier();
    store_sum(base, c11);
    workgroupBarrier();
    store(base, lane, row + SIDE, col4 + SIDE / 4u);
//#if BIG
    workgroupBarrier();
    store_sum(base, c20);
    workgroupBarrier();
    store(base, lane, row + 2u * SIDE, col4);
    workgroupBarrier();
    store_sum(base, c21);
    workgroupBarrier();
    store(base, lane, row + 2u * SIDE, col4 + SIDE / 4u);
    workgroupBarrier();
    store_sum(base, c30);
    workgroupBarrier();
    store(base, lane, row + 3u * SIDE, col4);
    workgroupBarrier();
    store_sum(base, c31);
    workgroupBarrier();
    store(base, lane, row + 3u * SIDE, col4 + SIDE / 4u);
//#endif
}
