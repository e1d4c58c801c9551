// First stage of the exact nearest-neighbour search: for every query and every tile of 16 bank rows the
// squared distance to the tile's bounding box in the space of lift.wgsl, a lower bound of the distance to each
// of its rows. X queries [q][4 row4], whose heads are K values, boxes [tiles][K/4][2] (lower and upper
// corner), C [q][tiles]; tiles a multiple of 4.
//
// For CPU drivers, as gemm_direct.wgsl: 8 lanes hold 4 queries each, the corners of 8 tiles are loaded by all
// lanes together and handed round (SUBGROUP). A workgroup walks PAIRS pairs of 4 tiles.
//#include shared/stored.wgsl
//#include shared/texels.wgsl
const TM: u32 = 4u;
const PAIRS: u32 = 8u;

struct Params { q: u32, quads: u32, k4: u32, row4: u32 }

//#if TEXELS
@group(0) @binding(0) var x: Texels;
fn x_at(i: u32) -> vec4<f32> { return textureLoad(x, texel(i)); }
//#else
@group(0) @binding(0) var<storage, read> x: array<Stored>;
fn x_at(i: u32) -> vec4<f32> { return wide(x[i]); }
//#endif
//#if TEXELS
@group(0) @binding(1) var boxes: Texels;
fn boxes_at(i: u32) -> vec4<f32> { return textureLoad(boxes, texel(i)); }
//#else
@group(0) @binding(1) var<storage, read> boxes: array<Stored>;
fn boxes_at(i: u32) -> vec4<f32> { return wide(boxes[i]); }
//#endif
@group(0) @binding(2) var<storage, read_write> c: array<Stored>;
@group(0) @binding(3) var<uniform> p: Params;

fn outside(v: vec4<f32>, low: vec4<f32>, high: vec4<f32>) -> f32 {
    let e = max(max(low - v, v - high), vec4(0.0));
    return dot(e, e);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let query0 = wid.x * (8u * TM) + lane;
    var base: array<u32, TM>;
    for (var j = 0u; j < TM; j++) { base[j] = min(query0 + 8u * j, p.q - 1u) * p.row4; }
    for (var i = 0u; i < PAIRS; i++) {
        let quad = 2u * (wid.y * PAIRS + i);
        if (quad < p.quads) {
            // Where the tiles are no multiple of 8 the last quad stands in for the one past the end.
            let quad1 = min(quad + 1u, p.quads - 1u);
//#if SUBGROUP
            let at0 = (4u * quad + lane / 2u) * p.k4 * 2u + lane % 2u;
            let at1 = (4u * quad1 + lane / 2u) * p.k4 * 2u + lane % 2u;
//#endif
            var acc: array<array<f32, TM>, 8>;
            for (var r = 0u; r < 8u; r++) { for (var j = 0u; j < TM; j++) { acc[r][j] = 0.0; } }
            for (var k = 0u; k < p.k4; k++) {
                var v: array<vec4<f32>, TM>;
                for (var j = 0u; j < TM; j++) { v[j] = x_at(base[j] + k); }
                for (var t = 0u; t < 2u; t++) {
//#if SUBGROUP
                    let corner = boxes_at(select(at0, at1, t == 1u) + 2u * k);
                    let low0 = subgroupBroadcast(corner, 0u);
                    let high0 = subgroupBroadcast(corner, 1u);
                    for (var j = 0u; j < TM; j++) { acc[4u * t][j] += outside(v[j], low0, high0); }
                    let low1 = subgroupBroadcast(corner, 2u);
                    let high1 = subgroupBroadcast(corner, 3u);
                    for (var j = 0u; j < TM; j++) { acc[4u * t + 1u][j] += outside(v[j], low1, high1); }
                    let low2 = subgroupBroadcast(corner, 4u);
                    let high2 = subgroupBroadcast(corner, 5u);
                    for (var j = 0u; j < TM; j++) { acc[4u * t + 2u][j] += outside(v[j], low2, high2); }
                    let low3 = subgroupBroadcast(corner, 6u);
                    let high3 = subgroupBroadcast(corner, 7u);
                    for (var j = 0u; j < TM; j++) { acc[4u * t + 3u][j] += outside(v[j], low3, high3); }
//#else
                    for (var r = 0u; r < 4u; r++) {
                        let at = ((4u * select(quad, quad1, t == 1u) + r) * p.k4 + k) * 2u;
                        let low = boxes_at(at);
                        let high = boxes_at(at + 1u);
                        for (var j = 0u; j < TM; j++) { acc[4u * t + r][j] += outside(v[j], low, high); }
                    }
//#endif
                }
            }
            for (var j = 0u; j < TM; j++) {
                if (query0 + 8u * j < p.q) {
                    let out = (query0 + 8u * j) * p.quads;
                    c[out + quad] = stored(vec4(acc[0][j], acc[1][j], acc[2][j], acc[3][j]));
                    if (quad + 1u < p.quads) { c[out + quad1] = stored(vec4(acc[4][j], acc[5][j], acc[6][j], acc[7][j])); }
                }
            }
        }
    }
}
