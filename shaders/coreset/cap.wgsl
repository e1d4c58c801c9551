// The published program's start of the coreset (docs/method.md, section 11): the mean distance to the start
// samples caps a patch's distance for good, and dropped patches can be chosen first but not later.
//   from_means: cap = (distance * scale)^2, with the sum of the distances in `distance`
//   drop_rows:  distance = -1 (never chosen) where `dropped` is not 0
//   apply:      capped = min(distance, cap)
// All [kept]. An invocation owns one patch: one or two loads and a store.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> distance: array<f32>;
@group(0) @binding(1) var<storage, read_write> cap: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn from_means(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * 64u + me;
    if (i >= p.kept) { return; }
    let mean = distance[i] * p.scale;
    cap[i] = mean * mean;
}

@group(0) @binding(0) var<storage, read> dropped: array<u32>;
@group(0) @binding(1) var<storage, read_write> changed: array<f32>;

@compute @workgroup_size(64)
fn drop_rows(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * 64u + me;
    if (i >= p.kept) { return; }
    if (dropped[i] != 0u) { changed[i] = -1.0; }
}

@group(0) @binding(1) var<storage, read> known_cap: array<f32>;
@group(0) @binding(2) var<storage, read_write> capped: array<f32>;
@group(0) @binding(3) var<uniform> p_apply: Params;

@compute @workgroup_size(64)
fn apply(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * 64u + me;
    if (i >= p_apply.kept) { return; }
    capped[i] = min(distance[i], known_cap[i]);
}
