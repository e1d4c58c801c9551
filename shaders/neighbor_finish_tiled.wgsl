// Nearest row of every query from the lower bounds of its blocks of BLOCK rows: the block with the smallest bound is finished
// in full first, then every block whose bound does not pass the best distance. The same rows and bits as neighbor_tiled.
// Shapes and slack as in neighbor_finish_direct.wgsl.
//
// For GPUs, and where subgroups are missing: a workgroup of 64 owns a query; the invocations walk its blocks side by side.
const BLOCK: u32 = 4u;

//#include shared/neighbor.wgsl

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bank: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bounds: array<f32>;
@group(0) @binding(3) var<storage, read> row_image: array<u32>;
@group(0) @binding(4) var<storage, read> query_image: array<u32>;
@group(0) @binding(5) var<storage, read_write> distance: array<f32>;
@group(0) @binding(6) var<storage, read_write> index: array<u32>;
@group(0) @binding(7) var<storage, read_write> largest: array<atomic<u32>>;
@group(0) @binding(8) var<uniform> p: Params;

struct Best { distance: f32, row: u32 }
var<workgroup> shared_best: array<Best, 64>;

fn nearer(a: Best, b: Best) -> Best {
    if (b.distance < a.distance || (b.distance == a.distance && b.row < a.row)) { return b; }
    return a;
}

// `best`, or the row if it is nearer and of another image.
fn finish(best: Best, query: u32, row: u32) -> Best {
    if (row >= p.rows) { return best; }
//#if EXCLUDE
    if (row_image[row] == query_image[query]) { return best; }
//#endif
    var sum = 0.0;
    for (var k = 0u; k < p.d4; k++) {
        sum = add_squares(sum, bank[row * p.d4 + k] - x[query * p.d4 + k]);
        if (sum > best.distance) { return best; }
    }
    return nearer(best, Best(sum, row));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let group = wid.x + wid.y * groups.x;
    // Groups past the end repeat the last query.
    let query = min(group, p.queries - 1u);
    let blocks = (p.rows + BLOCK - 1u) / BLOCK;
    let from_block = query * bounds_pitch();
    let r = f32(4u * p.short4);
    let slack = 4.0 * sqrt(r) * (f32(p.d4) + r + 10.0) * 5.9604645e-8
        * 2.0 * sqrt(bitcast<f32>(atomicLoad(&largest[0])));
    // The block with the smallest bound.
    var guess = Best(NOTHING, NO_ROW);
    for (var b = me; b < blocks; b += 64u) { guess = nearer(guess, Best(bounds[from_block + b], b)); }
    shared_best[me] = guess;
    workgroupBarrier();
    for (var i = 0u; i < 64u; i++) { guess = nearer(guess, shared_best[i]); }
    workgroupBarrier();
    var best = Best(NOTHING, NO_ROW);
    if (me < BLOCK) { best = finish(best, query, min(guess.row, blocks - 1u) * BLOCK + me); }
    shared_best[me] = best;
    workgroupBarrier();
    for (var i = 0u; i < BLOCK; i++) { best = nearer(best, shared_best[i]); }
    workgroupBarrier();
    var finished = select(0u, BLOCK, me == 0u);
    for (var b = me; b < blocks; b += 64u) {
        let reach = sqrt(best.distance) + slack;
        // Without a row so far nothing may be passed over.
        let limit = select(reach * reach * 1.00001, NOTHING, best.row == NO_ROW);
        if (b != guess.row && bounds[from_block + b] <= limit) {
            for (var i = 0u; i < BLOCK; i++) { best = finish(best, query, b * BLOCK + i); }
            finished += BLOCK;
        }
    }
    shared_best[me] = best;
    workgroupBarrier();
    if (me == 0u && group < p.queries) {
        for (var i = 0u; i < 64u; i++) { best = nearer(best, shared_best[i]); }
        distance[query] = best.distance;
        index[query] = select(p.row0 + best.row, NO_ROW, best.row == NO_ROW);
    }
    if (finished > 0u && group < p.queries) { atomicAdd(&largest[1], finished); }
}
