// Subtracts from every group its mean, in place: block[b][i] -= mean over i of block[b][i]. block [groups][n][R].
//
// An invocation owns one vec4 column of one group. It works on differences to the group's first row: those are exact
// where the values sit far from 0 and close together, so that neither the sum nor the rounding of the mean costs
// digits. Cost: two sweeps of n loads, one of n stores, an invocation.
const WORKGROUP: u32 = 64u;

struct Params {
    groups: u32,
    n: u32,
    r4: u32,
}

@group(0) @binding(0) var<storage, read_write> block: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (i < p.groups * p.r4) {
        let start = i / p.r4 * p.n * p.r4 + i % p.r4;
        let origin = block[start];
        var sum = vec4(0.0);
        for (var row = 1u; row < p.n; row++) { sum += block[start + row * p.r4] - origin; }
        let mean = sum / f32(p.n);
        for (var row = 0u; row < p.n; row++) {
            let at = start + row * p.r4;
            block[at] = (block[at] - origin) - mean;
        }
    }
}
