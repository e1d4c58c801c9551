// First stage of the exact nearest-neighbour search: for every query and every tile of 8 bank rows the largest product
// of lifted vectors (see neighbor_lift.wgsl). X queries [q][K], W bank [m][K], C [q][pairs] pairs of tiles.
//
// For GPUs, as gemm_tiled.wgsl: a workgroup of 256 owns 64 queries by 64 bank rows (8 tiles), an invocation 4 x 4; the
// products of a tile are spread over 2 neighbouring invocations, which meet in workgroup memory (the staging area is
// free by then). The matrix of products is never written.

struct Params { q: u32, m: u32, k4: u32, pairs: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec2<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

const PITCH: u32 = 5u;
var<workgroup> xs: array<vec4<f32>, 320>;
var<workgroup> ws: array<vec4<f32>, 320>;

fn columns(xv: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return vec4(dot(xv, w0), dot(xv, w1), dot(xv, w2), dot(xv, w3));
}

fn largest(v: vec4<f32>) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let query0 = wid.x * 64u;
    let row0 = wid.y * 64u;
    let tx = me % 16u;
    let ty = me / 16u;
    let srow = me / 4u;
    let sk = me % 4u;
    let slot = srow * PITCH + sk;
    // Rows past the end repeat the last one: the tile's maximum stays that of real rows.
    let query = min(query0 + srow, p.q - 1u) * p.k4;
    let row = min(row0 + srow, p.m - 1u) * p.k4;
    var acc0 = vec4(0.0);
    var acc1 = vec4(0.0);
    var acc2 = vec4(0.0);
    var acc3 = vec4(0.0);
    for (var k = 0u; k < p.k4; k += 4u) {
        var xv = vec4(0.0);
        var wv = vec4(0.0);
        if (k + sk < p.k4) {
            xv = x[query + k + sk];
            wv = w[row + k + sk];
        }
        workgroupBarrier();
        xs[slot] = xv;
        ws[slot] = wv;
        workgroupBarrier();
        for (var s = 0u; s < 4u; s++) {
            let w0 = ws[(4u * tx) * PITCH + s];
            let w1 = ws[(4u * tx + 1u) * PITCH + s];
            let w2 = ws[(4u * tx + 2u) * PITCH + s];
            let w3 = ws[(4u * tx + 3u) * PITCH + s];
            acc0 += columns(xs[ty * PITCH + s], w0, w1, w2, w3);
            acc1 += columns(xs[(ty + 16u) * PITCH + s], w0, w1, w2, w3);
            acc2 += columns(xs[(ty + 32u) * PITCH + s], w0, w1, w2, w3);
            acc3 += columns(xs[(ty + 48u) * PITCH + s], w0, w1, w2, w3);
        }
    }
    workgroupBarrier();
    // Queries ty, ty + 16, ty + 32, ty + 48 in the four values of a vector, one vector an invocation.
    xs[ty * 16u + tx] = vec4(largest(acc0), largest(acc1), largest(acc2), largest(acc3));
    workgroupBarrier();
    // Invocation (pair, query): 4 pairs of 2 x 2 neighbours each.
    let pair = me / 64u;
    let q = me % 64u;
    let at = (q % 16u) * 16u + 4u * pair;
    let part = q / 16u;
    let best = max(vec2(xs[at][part], xs[at + 2u][part]), vec2(xs[at + 1u][part], xs[at + 3u][part]));
    if (wid.y * 4u + pair < p.pairs && query0 + q < p.q) { c[(query0 + q) * p.pairs + wid.y * 4u + pair] = best; }
}
