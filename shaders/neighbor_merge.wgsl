// The nearest of the splits' rows, and the score: weight of the row times the squared distance.
// part_distance and part_index [splits][queries], weights [bank]; index, squared, score [queries]. With `merged` the
// result of the bank's earlier parts takes part. Without any row: index 0xffffffff, the largest float as distance and score.
// An invocation owns a query.

//#include shared/neighbor.wgsl

@group(0) @binding(0) var<storage, read> part_distance: array<f32>;
@group(0) @binding(1) var<storage, read> part_index: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> index: array<u32>;
@group(0) @binding(4) var<storage, read_write> squared: array<f32>;
@group(0) @binding(5) var<storage, read_write> score: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let query = (wid.x + wid.y * groups.x) * 64u + me;
    if (query >= p.queries) { return; }
    var best = NOTHING;
    var row = NO_ROW;
    if (p.merged != 0u) {
        best = squared[query];
        row = index[query];
    }
    // Splits ascend, so that an equal distance further on has the larger index.
    for (var s = 0u; s < p.splits; s++) {
        let d = part_distance[s * p.queries + query];
        if (d < best) {
            best = d;
            row = part_index[s * p.queries + query];
        }
    }
    index[query] = row;
    squared[query] = best;
    score[query] = NOTHING;
    if (row != NO_ROW) { score[query] = weights[row] * best; }
}
