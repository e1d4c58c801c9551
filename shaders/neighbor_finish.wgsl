// Second stage of the exact nearest-neighbour search. Per query: take the tile with the largest product, measure its 8
// rows in full, then only those tiles whose bound does not exceed the best distance so far; within a row stop as soon as
// the partial sum exceeds it (terms are never negative). Ties go to the smaller row.
// X queries [q][d], bank [m][d], best [q] = (squared distance, row) is read and improved, so that several banks can be
// searched one after the other. With `skip`, rows whose image is the query's are left out.
//
// An invocation owns one query and walks its own tiles, so that neighbouring lanes are busy together though their tiles
// differ. Cost: about 3 m / 32 loads, and d/4 vec4 loads twice for every row finished; `finished` counts those rows.
const STEP: u32 = 4u;

struct Params {
    q: u32, m: u32, d4: u32, quads: u32,
    first_row: u32, skip: u32, query_image: u32, queries_per_image: u32,
    slack: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bank: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> products: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> norm: array<f32>;
@group(0) @binding(4) var<storage, read> row_image: array<u32>;
@group(0) @binding(5) var<storage, read_write> best: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> finished: array<atomic<u32>>;
@group(0) @binding(7) var<uniform> p: Params;

// Index of the first true component, 4 where there is none.
fn leading(v: vec4<bool>) -> u32 {
    return select(select(select(select(4u, 3u, v.w), 2u, v.z), 1u, v.y), 0u, v.x);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let query = (wid.x + wid.y * groups.x) * 64u + me;
    if (query >= p.q) { return; }
    let own = p.query_image + query / p.queries_per_image;
    let square = norm[query];
    let base = query * p.quads;
    var quad = 0u;
    var top = products[base];
    var peak = max(max(top.x, top.y), max(top.z, top.w));
    for (var t = 1u; t < p.quads; t++) {
        let v = products[base + t];
        let here = max(max(v.x, v.y), max(v.z, v.w));
        if (here > peak) { peak = here; quad = t; top = v; }
    }
    let first = 4u * quad + leading(top >= vec4(peak));
    var distance = bitcast<f32>(best[query].x);
    var row = best[query].y;
    var count = 0u;
    // Tile `first`, then 0, 1, 2 ...; `next` is the tile to look at next.
    var tile = first;
    var next = 0u;
    loop {
        for (var i = 0u; i < 8u; i++) {
            let r = 8u * tile + i;
            if (r < p.m && (p.skip == 0u || row_image[p.first_row + r] != own)) {
                var sum = 0.0;
                var k = 0u;
                while (k < p.d4 && sum <= distance) {
                    for (var s = 0u; s < STEP; s++) {
                        if (k + s < p.d4) {
                            let v = x[query * p.d4 + k + s] - bank[r * p.d4 + k + s];
                            sum += dot(v, v);
                        }
                    }
                    k += STEP;
                }
                if (k >= p.d4 && (sum < distance || (sum == distance && p.first_row + r < row))) {
                    distance = sum;
                    row = p.first_row + r;
                }
                count += select(0u, 1u, k >= p.d4);
            }
        }
        // Tiles whose bound |q|^2 - 2 product does not exceed the distance; the bound may be off by the rounding of its
        // parts, which are of the size of the squared norms.
        let need = vec4(0.5 * (square - p.slack * (square + distance) - distance));
        var found = 4u * p.quads;
        while (next < 4u * p.quads) {
            let hits = (products[base + next / 4u] >= need) & (vec4(0u, 1u, 2u, 3u) >= vec4(next % 4u));
            let hit = 4u * (next / 4u) + leading(hits);
            next = hit + 1u;
            if (!any(hits)) {
                next = hit;
            } else if (hit != first) {
                found = hit;
                break;
            }
        }
        if (found == 4u * p.quads) { break; }
        tile = found;
    }
    best[query] = vec2(bitcast<u32>(distance), row);
    atomicAdd(&finished[0], count);
}
