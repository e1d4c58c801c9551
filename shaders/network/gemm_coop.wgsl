// C = clamp(X * W^T + bias + residual, lo, hi) on tensor cores: operands in f16, sums in f32. Matrix product,
// and with CONV convolution as implicit GEMM. Shapes as in gemm_tiled.wgsl: X [m][k], W [n][k], bias [n] in
// f32, residual and C [m][n].
//
// A fragment is SIDE x SIDE values (16; with EIGHT 8) held by the LANES of a subgroup together. A workgroup
// of 4 subgroups owns 4 SIDE x 4 SIDE outputs, a subgroup 2 x 2 fragments; with BIG 8 SIDE x 8 SIDE and 4 x 4,
// with SMALL 2 SIDE x 2 SIDE and one. A step stages the tile's rows of X and W, K4 vec4 deep, in workgroup
// memory, four of each per invocation, while the next step's loads are under way: the smaller the tile, the
// deeper a step, since what takes time where workgroups are few is to wait for loads. Sums go along k in the
// same order whatever the tile. They leave through a row of fragments of workgroup memory for each subgroup.
// Cost per step and subgroup, with F = COLUMNS / SIDE fragments a side: 2 F fragment loads for F * F fragment
// products, K4 * 4 / SIDE times.
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
const SUBGROUPS: u32 = 4u;
const ACROSS: u32 = 2u;
//#if BIG
const COLUMNS: u32 = 4u * SIDE;
//#else
//#if SMALL
const COLUMNS: u32 = SIDE;
//#else
const COLUMNS: u32 = 2u * SIDE;
//#endif
//#endif
const TILE: u32 = ACROSS * COLUMNS;
// A row of fragments of sums, and 32 bytes more: rows of a fragment begin on different banks.
const STRIPE: u32 = COLUMNS + 8u;
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

// Brings the row of fragments that lies in the subgroup's part of `sums` to rows `row ..` and columns
// `4 col4 ..` of C.
fn store(base: u32, lane: u32, row: u32, col4: u32) {
    for (var e = lane; e < SIDE * COLUMNS / 4u; e += LANES) {
        let i = e / (COLUMNS / 4u);
        let j = e % (COLUMNS / 4u);
        let r = row + i;
        let q = col4 + j;
        if (r < p.m && 4u * q < p.n) {
            let s = base + i * STRIPE + 4u * j;
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
    let xr = sg / ACROSS * COLUMNS;
    let wr = sg % ACROSS * COLUMNS;
    let base = sg * SIDE * STRIPE;
    for (var e = lane; e < SIDE * STRIPE; e += LANES) { sums[base + e] = 0.0; }
    workgroupBarrier();
    var c00 = load_sum(base);
//#if !SMALL
    var c01 = load_sum(base);
    var c10 = load_sum(base);
    var c11 = load_sum(base);
//#endif
//#if BIG
    var c02 = load_sum(base);
    var c03 = load_sum(base);
    var c12 = load_sum(base);
    var c13 = load_sum(base);
    var c20 = load_sum(base);
    var c21 = load_sum(base);
    var c22 = load_sum(base);
    var c23 = load_sum(base);
    var c30 = load_sum(base);
    var c31 = load_sum(base);
    var c32 = load_sum(base);
    var c33 = load_sum(base);
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
//#if !SMALL
            let u1 = fragment_w((wr + SIDE) * PITCH + q);
//#endif
//#if BIG
            let u2 = fragment_w((wr + 2u * SIDE) * PITCH + q);
            let u3 = fragment_w((wr + 3u * SIDE) * PITCH + q);
//#endif
            let y0 = fragment_x(xr * PITCH + q);
            c00 = multiply_add(y0, u0, c00);
//#if !SMALL
            c01 = multiply_add(y0, u1, c01);
//#endif
//#if BIG
            c02 = multiply_add(y0, u2, c02);
            c03 = multiply_add(y0, u3, c03);
//#endif
//#if !SMALL
            let y1 = fragment_x((xr + SIDE) * PITCH + q);
            c10 = multiply_add(y1, u0, c10);
            c11 = multiply_add(y1, u1, c11);
//#endif
//#if BIG
            c12 = multiply_add(y1, u2, c12);
            c13 = multiply_add(y1, u3, c13);
            let y2 = fragment_x((xr + 2u * SIDE) * PITCH + q);
            c20 = multiply_add(y2, u0, c20);
            c21 = multiply_add(y2, u1, c21);
            c22 = multiply_add(y2, u2, c22);
            c23 = multiply_add(y2, u3, c23);
            let y3 = fragment_x((xr + 3u * SIDE) * PITCH + q);
            c30 = multiply_add(y3, u0, c30);
            c31 = multiply_add(y3, u1, c31);
            c32 = multiply_add(y3, u2, c32);
            c33 = multiply_add(y3, u3, c33);
//#endif
        }
    }
    // `sums` holds one row of fragments for each subgroup: a barrier before it is read and one before it is
    // written again.
    let row = row0 + xr;
    let col4 = (col0 + wr) / 4u;
    store_sum(base, c00);
//#if !SMALL
    store_sum(base + SIDE, c01);
//#endif
//#if BIG
    store_sum(base + 2u * SIDE, c02);
    store_sum(base + 3u * SIDE, c03);
//#endif
    workgroupBarrier();
    store(base, lane, row, col4);
//#if !SMALL
    workgroupBarrier();
    store_sum(base, c10);
    store_sum(base + SIDE, c11);
//#if BIG
    store_sum(base + 2u * SIDE, c12);
    store_sum(base + 3u * SIDE, c13);
//#endif
    workgroupBarrier();
    store(base, lane, row + SIDE, col4);
//#endif
//#if BIG
    workgroupBarrier();
    store_sum(base, c20);
    store_sum(base + SIDE, c21);
    store_sum(base + 2u * SIDE, c22);
    store_sum(base + 3u * SIDE, c23);
    workgroupBarrier();
    store(base, lane, row + 2u * SIDE, col4);
    workgroupBarrier();
    store_sum(base, c30);
    store_sum(base + SIDE, c31);
    store_sum(base + 2u * SIDE, c32);
    store_sum(base + 3u * SIDE, c33);
    workgroupBarrier();
    store(base, lane, row + 3u * SIDE, col4);
//#endif
}
