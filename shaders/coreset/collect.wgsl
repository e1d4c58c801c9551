// Lists the positions of the candidates, in any order (what follows breaks ties by position).
// distance [kept] (negative: chosen), candidates [batch], state. Workgroups walk the patches with the grid's stride.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> distance: array<u32>;
@group(0) @binding(1) var<storage, read_write> candidates: array<u32>;
@group(0) @binding(2) var<storage, read_write> state: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (atomicLoad(&state[TOTAL]) >= p.picks) { return; }
    let least = atomicLoad(&state[BITS]);
    let end = min(p.kept, atomicLoad(&state[BEFORE]));
    for (var i = wid.x * 64u + me; i < end; i += groups.x * 64u) {
        let bits = distance[i];
        if (bits >= least && bits < 0x80000000u) {
            let slot = atomicAdd(&state[CANDIDATES], 1u);
            if (slot < p.batch) { candidates[slot] = i; }
        }
    }
}
