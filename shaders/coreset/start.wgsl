// The start of a selection: distances of every kept patch to a few rows, and the first pick.
// z [rows of the chunk][r4], kept [kept] row indices, rows [ROWS][r4], distance [kept].
//   means:     distance = sum of the distances to ROWS rows
//   first:     the patch where that is largest (ties: the smallest index) is picks[0], candidates[0]; sets
//              the state up
//   distances: distance = squared distance to row 0, the first pick
// means, distances: an invocation owns a patch of the chunk, r4 * (1 + ROWS) vec4 loads. first: one workgroup
// reads all distances.
const ROWS: u32 = 1u;

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> kept: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> distance: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

// Squared distances of a patch to ROWS rows.
fn squares(position: u32) -> array<f32, ROWS> {
    let base = (kept[position] - p.row0) * p.r4;
    var acc: array<f32, ROWS>;
    for (var j = 0u; j < ROWS; j++) { acc[j] = 0.0; }
    for (var k = 0u; k < p.r4; k++) {
        let v = z[base + k];
        for (var j = 0u; j < ROWS; j++) { acc[j] = add_squares(acc[j], v - rows[j * p.r4 + k]); }
    }
    return acc;
}

@compute @workgroup_size(64)
fn means(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let position = p.pos0 + (wid.x + wid.y * groups.x) * 64u + me;
    if (position >= p.pos1) { return; }
    let acc = squares(position);
    var sum = 0.0;
    for (var j = 0u; j < ROWS; j++) { sum += sqrt(acc[j]); }
    distance[position] = sum;
}

@compute @workgroup_size(64)
fn distances(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let position = p.pos0 + (wid.x + wid.y * groups.x) * 64u + me;
    if (position >= p.pos1) { return; }
    distance[position] = squares(position)[0];
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> picks: array<u32>;
@group(0) @binding(3) var<storage, read_write> candidates: array<u32>;
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(5) var<storage, read_write> state: State;
@group(0) @binding(6) var<uniform> p_first: Params;

var<workgroup> best_value: array<f32, 256>;
var<workgroup> best_at: array<u32, 256>;

@compute @workgroup_size(256)
fn first(@builtin(local_invocation_index) me: u32) {
    var value = -1.0;
    var at = 0u;
    for (var i = me; i < p_first.kept; i += 256u) {
        let v = sums[i];
        if (v > value) { value = v; at = i; }
    }
    best_value[me] = value;
    best_at[me] = at;
    workgroupBarrier();
    if (me == 0u) {
        for (var i = 1u; i < 256u; i++) {
            let v = best_value[i];
            if (v > value || (v == value && best_at[i] < at)) { value = v; at = best_at[i]; }
        }
        picks[0] = kept[at];
        candidates[0] = at;
        chosen[0] = 0u;
        state = State();
        state.picked = 1u;
        state.count = 1u;
        state.level = 1u;
    }
}
