// First stage of the exact nearest-neighbour search: for every query and every tile of 8 bank rows the largest product
// of lifted vectors (see neighbor_lift.wgsl). X queries [q][K], W bank [m][K], C [q][pairs] pairs of tiles.
//
// For CPU drivers, as gemm_direct.wgsl: 8 lanes hold 4 queries each, 16 bank rows a step are loaded by all lanes
// together and handed round (SUBGROUP). A workgroup walks PAIRS pairs of tiles. The matrix of products is never written.
const TM: u32 = 4u;
const PAIRS: u32 = 16u;

struct Params { q: u32, m: u32, k4: u32, pairs: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec2<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let query0 = wid.x * (8u * TM) + lane;
    var base: array<u32, TM>;
    for (var j = 0u; j < TM; j++) { base[j] = min(query0 + 8u * j, p.q - 1u) * p.k4; }
    for (var i = 0u; i < PAIRS; i++) {
        let pair = wid.y * PAIRS + i;
        if (pair < p.pairs) {
            // Rows past the end repeat the last one: the tile's maximum stays that of real rows.
//#if SUBGROUP
            let at0 = min(16u * pair + lane, p.m - 1u) * p.k4;
            let at1 = min(16u * pair + 8u + lane, p.m - 1u) * p.k4;
//#endif
            var acc: array<array<f32, TM>, 16>;
            for (var r = 0u; r < 16u; r++) { for (var j = 0u; j < TM; j++) { acc[r][j] = 0.0; } }
            for (var k = 0u; k < p.k4; k++) {
                var xv: array<vec4<f32>, TM>;
                for (var j = 0u; j < TM; j++) { xv[j] = x[base[j] + k]; }
//#if SUBGROUP
                for (var t = 0u; t < 2u; t++) {
                    let wv = w[select(at0, at1, t == 1u) + k];
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
                }
//#else
                for (var r = 0u; r < 16u; r++) {
                    let s = w[min(16u * pair + r, p.m - 1u) * p.k4 + k];
                    for (var j = 0u; j < TM; j++) { acc[r][j] += dot(xv[j], s); }
                }
//#endif
            }
            for (var j = 0u; j < TM; j++) {
                var best = vec2(acc[0][j], acc[8][j]);
                for (var r = 1u; r < 8u; r++) { best = max(best, vec2(acc[r][j], acc[8u + r][j])); }
                if (query0 + 8u * j < p.q) { c[(query0 + 8u * j) * p.pairs + pair] = best; }
            }
        }
    }
}
