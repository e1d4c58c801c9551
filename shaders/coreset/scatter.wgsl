// Sorts the patches that may change by cluster: sorted[slot] = position + 1; 0 pads a cluster's last tile.
// distance [kept], centre [kept], state, clusters [picks][4], sorted [tiles][8]; order within a cluster is of no account.
// Patches pos0 .. pos1, walked with the grid's stride.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> distance: array<f32>;
@group(0) @binding(1) var<storage, read> centre: array<u32>;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read_write> clusters: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> sorted: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (state[TILES] == 0u) { return; }
    for (var i = p.pos0 + wid.x * 64u + me; i < p.pos1; i += groups.x * 64u) {
        if (distance[i] > 0.0) {
            let c = 4u * centre[i];
            if (atomicLoad(&clusters[c + SLOT]) != SKIPPED) { sorted[atomicAdd(&clusters[c + SLOT], 1u)] = i + 1u; }
        }
    }
}
