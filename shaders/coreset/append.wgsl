// Adds the batch's picks to the bank and marks them chosen (distance -1).
// rows [batch][r4] of the candidates, candidates [batch], chosen [batch], state; bank [picks][r4], distance [kept].
// An invocation copies one vec4.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> candidates: array<u32>;
@group(0) @binding(2) var<storage, read> chosen: array<u32>;
@group(0) @binding(3) var<storage, read> state: array<u32>;
@group(0) @binding(4) var<storage, read_write> bank: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> distance: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * 64u + me;
    let pick = i / p.r4;
    if (pick >= state[COUNT]) { return; }
    let slot = chosen[pick];
    let k = i % p.r4;
    bank[(state[FIRST] + pick) * p.r4 + k] = rows[slot * p.r4 + k];
    if (k == 0u) { distance[candidates[slot]] = -1.0; }
}
