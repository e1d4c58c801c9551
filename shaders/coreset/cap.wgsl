// The published program's start of the coreset (docs/method.md, section 11): the mean distance to the start samples caps a patch's
// distance for good, and dropped patches can be chosen first but not later.
// START: cap = (distance * scale)^2, with the sum of the distances in `distance` and the scale's bits in `level`.
// MASK: distance = -1 (never chosen) where `dropped` is not 0. CAP: capped = min(distance, cap).
// All [kept]. An invocation owns one patch.

//#include shared/coreset.wgsl

//#if START
@group(0) @binding(0) var<storage, read> distance: array<f32>;
@group(0) @binding(1) var<storage, read_write> cap: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
//#endif
//#if MASK
@group(0) @binding(0) var<storage, read> dropped: array<u32>;
@group(0) @binding(1) var<storage, read_write> distance: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;
//#endif
//#if CAP
@group(0) @binding(0) var<storage, read> distance: array<f32>;
@group(0) @binding(1) var<storage, read> cap: array<f32>;
@group(0) @binding(2) var<storage, read_write> capped: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;
//#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * 64u + me;
    if (i >= p.kept) { return; }
//#if START
    let mean = distance[i] * bitcast<f32>(p.level);
    cap[i] = mean * mean;
//#endif
//#if MASK
    if (dropped[i] != 0u) { distance[i] = -1.0; }
//#endif
//#if CAP
    capped[i] = min(distance[i], cap[i]);
//#endif
}
