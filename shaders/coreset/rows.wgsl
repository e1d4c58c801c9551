// Rows of the selection's patches copied together.
//   gather: rows of listed patches: `listed` of them, or where that is 0 as many as there are candidates;
//           patches of other chunks are left. z [rows of the chunk][r4], kept [kept], list of positions,
//           state -> gathered [listed][r4].
//   append: the batch's picks to the bank, marked as chosen (distance -1). rows [batch][r4] of the
//           candidates, candidates [batch], chosen [batch], state -> bank [picks][r4], distance [kept].
// An invocation copies one vec4: a load and a store.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> kept: array<u32>;
@group(0) @binding(2) var<storage, read> list: array<u32>;
@group(0) @binding(3) var<storage, read> state: State;
@group(0) @binding(4) var<storage, read_write> gathered: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(64)
fn gather(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * 64u + me;
    let row = i / p.r4;
    if (row >= select(p.listed, min(p.batch, state.candidates), p.listed == 0u)) { return; }
    let position = list[row];
    if (position < p.pos0 || position >= p.pos1) { return; }
    gathered[i] = z[(kept[position] - p.row0) * p.r4 + i % p.r4];
}

@group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> candidates: array<u32>;
@group(0) @binding(2) var<storage, read> chosen: array<u32>;
@group(0) @binding(4) var<storage, read_write> bank: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> distance: array<f32>;
@group(0) @binding(6) var<uniform> p_append: Params;

@compute @workgroup_size(64)
fn append(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let r4 = p_append.r4;
    let i = (wid.x + wid.y * groups.x) * 64u + me;
    let pick = i / r4;
    if (pick >= state.count) { return; }
    let slot = chosen[pick];
    let k = i % r4;
    bank[(state.first + pick) * r4 + k] = rows[slot * r4 + k];
    if (k == 0u) { distance[candidates[slot]] = -1.0; }
}
