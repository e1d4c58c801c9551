// First stage of the exact nearest-neighbour search: for every query and every tile of 16 bank rows the
// squared distance to the tile's bounding box in the space of lift.wgsl, a lower bound of the distance to each
// of its rows. X queries [q][4 row4], whose heads are K values, boxes [tiles][K/4][2] (lower and upper
// corner), C [q][tiles]; tiles a multiple of 4.
//
// For GPUs, as gemm_tiled.wgsl: a workgroup of 256 owns 64 queries by 64 tiles, an invocation 4 x 4, 4 vec4
// of K staged in workgroup memory per step. Cost per step and invocation: 48 vec4 reads of workgroup memory
// for 16 distances along 16 axes.

struct Params { q: u32, quads: u32, k4: u32, row4: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> boxes: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

const PITCH: u32 = 5u;
var<workgroup> xs: array<vec4<f32>, 320>;
var<workgroup> lows: array<vec4<f32>, 320>;
var<workgroup> highs: array<vec4<f32>, 320>;

fn outside(v: vec4<f32>, low: vec4<f32>, high: vec4<f32>) -> f32 {
    let e = max(max(low - v, v - high), vec4(0.0));
    return dot(e, e);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let query0 = wid.x * 64u;
    let quad0 = wid.y * 16u;
    let tx = me % 16u;
    let ty = me / 16u;
    let srow = me / 4u;
    let sk = me % 4u;
    let slot = srow * PITCH + sk;
    // What lies past the end repeats the last one and is not written.
    let query = min(query0 + srow, p.q - 1u) * p.row4;
    let tile = min(4u * quad0 + srow, 4u * p.quads - 1u) * p.k4;
    var acc0 = vec4(0.0);
    var acc1 = vec4(0.0);
    var acc2 = vec4(0.0);
    var acc3 = vec4(0.0);
    for (var k = 0u; k < p.k4; k += 4u) {
        var v = vec4(0.0);
        var low = vec4(0.0);
        var high = vec4(0.0);
        if (k + sk < p.k4) {
            v = x[query + k + sk];
            low = boxes[2u * (tile + k + sk)];
            high = boxes[2u * (tile + k + sk) + 1u];
        }
        workgroupBarrier();
        xs[slot] = v;
        lows[slot] = low;
        highs[slot] = high;
        workgroupBarrier();
        for (var s = 0u; s < 4u; s++) {
            let x0 = xs[ty * PITCH + s];
            let x1 = xs[(ty + 16u) * PITCH + s];
            let x2 = xs[(ty + 32u) * PITCH + s];
            let x3 = xs[(ty + 48u) * PITCH + s];
            let at = 4u * tx * PITCH + s;
            let low0 = lows[at];
            let high0 = highs[at];
            let low1 = lows[at + PITCH];
            let high1 = highs[at + PITCH];
            let low2 = lows[at + 2u * PITCH];
            let high2 = highs[at + 2u * PITCH];
            let low3 = lows[at + 3u * PITCH];
            let high3 = highs[at + 3u * PITCH];
            acc0 += vec4(outside(x0, low0, high0), outside(x0, low1, high1), outside(x0, low2, high2), outside(x0, low3, high3));
            acc1 += vec4(outside(x1, low0, high0), outside(x1, low1, high1), outside(x1, low2, high2), outside(x1, low3, high3));
            acc2 += vec4(outside(x2, low0, high0), outside(x2, low1, high1), outside(x2, low2, high2), outside(x2, low3, high3));
            acc3 += vec4(outside(x3, low0, high0), outside(x3, low1, high1), outside(x3, low2, high2), outside(x3, low3, high3));
        }
    }
    let quad = quad0 + tx;
    if (quad < p.quads) {
        if (query0 + ty < p.q) { c[(query0 + ty) * p.quads + quad] = acc0; }
        if (query0 + ty + 16u < p.q) { c[(query0 + ty + 16u) * p.quads + quad] = acc1; }
        if (query0 + ty + 32u < p.q) { c[(query0 + ty + 32u) * p.quads + quad] = acc2; }
        if (query0 + ty + 48u < p.q) { c[(query0 + ty + 48u) * p.quads + quad] = acc3; }
    }
}
