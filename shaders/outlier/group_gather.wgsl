// Patches image by image -> patches position by position: block[b][first + i][r] = z[i][p0 + b][r].
// z [images][positions][R], one chunk of the stream; block [groups][n][R] holds positions p0 .. p0 + groups of all n
// images, one call a chunk; R % 4 = 0.
//
// An invocation copies one vec4, consecutive invocations along R. Cost: one load and one store of the copied words.
const WORKGROUP: u32 = 64u;

struct Params {
    images: u32,
    positions: u32,
    r4: u32,
    first: u32,
    p0: u32,
    groups: u32,
    n: u32,
}

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> block: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (i < p.images * p.groups * p.r4) {
        let r = i % p.r4;
        let b = i / p.r4 % p.groups;
        let image = i / p.r4 / p.groups;
        block[(b * p.n + p.first + image) * p.r4 + r] = z[(image * p.positions + p.p0 + b) * p.r4 + r];
    }
}
