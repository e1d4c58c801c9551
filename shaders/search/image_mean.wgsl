// Mean of an image's embeddings: c[i][d] = mean over p of x[i][p][d]. x [images][positions][D], D % 4 = 0 ->
// c [images][D].
//
// An invocation owns one vec4 column of one image and sums differences to the first position, which keeps
// digits where the values lie far from 0. Cost: one load of every word.
const WORKGROUP: u32 = 64u;

struct Params {
    images: u32,
    positions: u32,
    d4: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (i < p.images * p.d4) {
        let start = i / p.d4 * p.positions * p.d4 + i % p.d4;
        let origin = x[start];
        var sum = vec4(0.0);
        for (var k = 1u; k < p.positions; k++) { sum += x[start + k * p.d4] - origin; }
        c[i] = origin + sum / f32(p.positions);
    }
}
