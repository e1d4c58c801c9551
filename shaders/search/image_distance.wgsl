// Distances of all pairs: c[i][j] = |a[i] - b[j]|. a [q][D], b [m][D], D % 4 = 0 -> c [q][m].
//
// An invocation owns one pair and sums squared differences: for a few thousand images that is small work, and
// nothing cancels. Cost: 2 D loads per pair.
const WORKGROUP: u32 = 64u;

struct Params {
    q: u32,
    m: u32,
    d4: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (i < p.q * p.m) {
        let left = i / p.m * p.d4;
        let right = i % p.m * p.d4;
        var sum = 0.0;
        for (var k = 0u; k < p.d4; k++) {
            let difference = a[left + k] - b[right + k];
            sum += dot(difference, difference);
        }
        c[i] = sqrt(sum);
    }
}
