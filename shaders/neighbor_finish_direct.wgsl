// Nearest row of every query from the lower bounds of its blocks of 4 rows: the block with the smallest bound is finished in
// full first, then every block whose bound does not pass the best distance. The same rows and bits as neighbor_direct.
// x [queries][d4], bank [rows][d4], bounds [queries][bounds_pitch], row_image [rows], query_image [queries]; distance and index
// [queries]; largest: [0] the largest squared norm of a centred row or query (bits), [1] counts finished rows.
//
// A shortened row is the centred row's first coordinates in an orthonormal basis and the norm of what is left, so that the
// distance of two shortened rows is no more than that of the rows. What rounding can add to it: a coordinate of v is off
// by (d4 + 6) u |v| at most, the rest's norm by sqrt(r) (d4 + r + 10) u |v|; the slack takes four times that.
//
// For CPU drivers: a workgroup of 8 lanes owns a query and finishes two blocks at a time, a lane one row. Cost two blocks: 9/8 d4 loads.

//#include shared/neighbor.wgsl

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bank: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bounds: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> row_image: array<u32>;
@group(0) @binding(4) var<storage, read> query_image: array<u32>;
@group(0) @binding(5) var<storage, read_write> distance: array<f32>;
@group(0) @binding(6) var<storage, read_write> index: array<u32>;
@group(0) @binding(7) var<storage, read_write> largest: array<atomic<u32>>;
@group(0) @binding(8) var<uniform> p: Params;

fn squared(query: u32, row: u32, lane: u32) -> f32 {
    let base = min(row, p.rows - 1u) * p.d4;
    var sum = 0.0;
    var at = 0u;
    for (; at + 8u <= p.d4; at += 8u) {
        let part = x[query * p.d4 + at + lane];
        sum = add_squares(sum, bank[base + at + 0u] - subgroupBroadcast(part, 0u));
        sum = add_squares(sum, bank[base + at + 1u] - subgroupBroadcast(part, 1u));
        sum = add_squares(sum, bank[base + at + 2u] - subgroupBroadcast(part, 2u));
        sum = add_squares(sum, bank[base + at + 3u] - subgroupBroadcast(part, 3u));
        sum = add_squares(sum, bank[base + at + 4u] - subgroupBroadcast(part, 4u));
        sum = add_squares(sum, bank[base + at + 5u] - subgroupBroadcast(part, 5u));
        sum = add_squares(sum, bank[base + at + 6u] - subgroupBroadcast(part, 6u));
        sum = add_squares(sum, bank[base + at + 7u] - subgroupBroadcast(part, 7u));
    }
    for (; at < p.d4; at++) { sum = add_squares(sum, bank[base + at] - x[query * p.d4 + at]); }
    return sum;
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let query = wid.x + wid.y * groups.x;
    if (query >= p.queries) { return; }
    let blocks = (p.rows + 3u) / 4u;
    let bounds_at = query * bounds_pitch() / 4u;
    let r = f32(4u * p.short4);
    let slack = 4.0 * sqrt(r) * (f32(p.d4) + r + 10.0) * 5.9604645e-8
        * 2.0 * sqrt(bitcast<f32>(atomicLoad(&largest[0])));
//#if EXCLUDE
    let image = query_image[query];
//#endif
    // The block with the smallest bound.
    var least = NOTHING;
    var guess = 0u;
    for (var b = 4u * lane; b < blocks; b += 32u) {
        let bound = bounds[bounds_at + b / 4u];
        for (var i = 0u; i < 4u; i++) {
            if (b + i < blocks && bound[i] < least) { least = bound[i]; guess = b + i; }
        }
    }
    let smallest = subgroupMin(least);
    guess = min(subgroupMin(select(NO_ROW, guess, least == smallest)), blocks - 1u);
    var best = NOTHING;
    var best_row = NO_ROW;
    var limit = NOTHING;
    var finished = 0u;
    // The first round finishes the guess alone.
    var pair = vec2(guess);
    var n = 1u;
    var b0 = 0u;
    var left = 0u;
    loop {
        if (n == 0u) { break; }
        let row = 4u * select(pair.x, pair.y, lane >= 4u) + lane % 4u;
        let d = squared(query, row, lane);
        var usable = row < p.rows;
//#if EXCLUDE
        if (usable) { usable = row_image[row] != image; }
//#endif
        if (usable && (d < best || (d == best && row < best_row))) { best = d; best_row = row; }
        finished += 4u * n;
        let nearest = subgroupMin(best);
        // Without a row so far nothing may be passed over.
        let reach = sqrt(nearest) + slack;
        limit = select(reach * reach * 1.00001, NOTHING, nearest == NOTHING);
        // The next two blocks whose bound does not pass the limit; the same one twice where only one is left.
        n = 0u;
        while (n < 2u && (left != 0u || b0 < blocks)) {
            if (left == 0u) {
                // Lane l looks at blocks b0 + 4 l .. b0 + 4 l + 3; bit l + 8 i stands for b0 + 4 l + i.
                var near = vec4<bool>();
                let b = b0 + 4u * lane;
                if (b < blocks) {
                    let four = vec4(b, b + 1u, b + 2u, b + 3u);
                    near = bounds[bounds_at + b / 4u] <= vec4(limit);
                    near &= (four < vec4(blocks)) & (four != vec4(guess));
                }
                if (subgroupAny(any(near))) {
                    left = subgroupBallot(near.x).x | subgroupBallot(near.y).x << 8u
                        | subgroupBallot(near.z).x << 16u | subgroupBallot(near.w).x << 24u;
                }
                b0 += 32u;
            } else {
                let bit = firstTrailingBit(left);
                left &= left - 1u;
                let b = b0 - 32u + 4u * (bit % 8u) + bit / 8u;
                pair = vec2(b, select(b, pair.x, n > 0u));
                n++;
            }
        }
    }
    let nearest = subgroupMin(best);
    best_row = subgroupMin(select(NO_ROW, best_row, best == nearest));
    if (lane == 0u) {
        distance[query] = nearest;
        index[query] = select(p.row0 + best_row, NO_ROW, best_row == NO_ROW);
        atomicAdd(&largest[1], finished);
    }
}
