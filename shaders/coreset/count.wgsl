// Radius and members of every cluster (the patches that share a nearest pick); patches at distance 0 cannot change and
// are left out. With `level` 1 the radius only.
// distance [kept], centre [kept], state, clusters [picks][4]; patches pos0 .. pos1, walked with the grid's stride.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> distance: array<f32>;
@group(0) @binding(1) var<storage, read> centre: array<u32>;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read_write> clusters: array<atomic<u32>>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (state[COUNT] == 0u || state[TOTAL] >= p.picks) { return; }
    for (var i = p.pos0 + wid.x * 64u + me; i < p.pos1; i += groups.x * 64u) {
        let d = distance[i];
        if (d > 0.0) {
            let c = 4u * centre[i];
            atomicMax(&clusters[c + RADIUS], bitcast<u32>(d));
            if (p.level == 0u) { atomicAdd(&clusters[c + MEMBERS], 1u); }
        }
    }
}
