// Lists the clusters that have a radius, in any order.
// clusters [picks][4], active [picks], state. An invocation looks at one cluster; the grid's stride covers the rest.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> clusters: array<u32>;
@group(0) @binding(1) var<storage, read_write> active_list: array<u32>;
@group(0) @binding(2) var<storage, read_write> state: array<atomic<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (atomicLoad(&state[COUNT]) == 0u) { return; }
    let end = atomicLoad(&state[FIRST]);
    for (var c = wid.x * 64u + me; c < end; c += groups.x * 64u) {
        if (clusters[4u * c + RADIUS] != 0u) { active_list[atomicAdd(&state[ACTIVE], 1u)] = c; }
    }
}
