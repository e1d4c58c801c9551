// Histogram for the choice of candidates, 65 536 bins. Level 1: upper 16 bits of the unchosen patches' distances.
// Level 2: lower 15 bits of those in bin EDGE. Level 3: positions, first bin last, of those whose bits are BITS.
// Levels 2 and 3 run only where the one before could not split its top bin.
// distance [kept] (negative: chosen), state, bins [65536]. Workgroups walk the patches with the grid's stride.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> distance: array<u32>;
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> bins: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (state[TOTAL] >= p.picks || state[LEVEL] != p.level) { return; }
    let edge = state[EDGE];
    let same = state[BITS];
    for (var i = wid.x * 64u + me; i < p.kept; i += groups.x * 64u) {
        let bits = distance[i];
        var bin = 65536u;
        if (p.level == 1u) {
            bin = bits >> 15u;
        } else if (p.level == 2u) {
            if (bits >> 15u == edge) { bin = bits & 0x7fffu; }
        } else if (bits == same) {
            bin = 65535u - i / p.batch;
        }
        if (bin < 65536u) { atomicAdd(&bins[bin], 1u); }
    }
}
