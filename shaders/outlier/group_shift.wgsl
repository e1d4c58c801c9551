// Subtracts from other rows the mean of every group: rows[b][i] -= mean over j of block[b][j].
// block [groups][n][R], rows [groups][q][R].
//
// An invocation owns one vec4 column of one group. As in group_centre.wgsl it works on differences to the block's first
// row, so that the mean costs no digits and equals the one that centres the block. Cost: n loads, q loads and stores.
const WORKGROUP: u32 = 64u;

struct Params {
    groups: u32,
    n: u32,
    q: u32,
    r4: u32,
}

@group(0) @binding(0) var<storage, read> block: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> rows: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (i < p.groups * p.r4) {
        let group = i / p.r4;
        let start = group * p.n * p.r4 + i % p.r4;
        let origin = block[start];
        var sum = vec4(0.0);
        for (var row = 1u; row < p.n; row++) { sum += block[start + row * p.r4] - origin; }
        let mean = sum / f32(p.n);
        for (var row = 0u; row < p.q; row++) {
            let at = (group * p.q + row) * p.r4 + i % p.r4;
            rows[at] = (rows[at] - origin) - mean;
        }
    }
}
