// Second pass of the antialiased resize: along columns, in fixed point as Pillow does it; then (v - mean) * scale.
// X [in_h][w] packed pixels -> C [out_h][w][4] normalised floats at vec4 `to4`, the fourth channel 0.
// Output row o sums taps start[o] .. start[o] + count[o], counted from row `first_row` of the image.
// An invocation owns one output pixel. Cost: `count` loads of pixels and coefficients. With F16, C is stored as
// f16.

//#include shared/stored.wgsl

struct Params {
    w: u32, out_h: u32, taps: u32, first_row: u32,
    mean: vec4<f32>, scale: vec4<f32>,
    to4: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> window: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> coefficients: array<i32>;
@group(0) @binding(3) var<storage, read_write> c: array<Stored>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let column = id % p.w;
    let o = id / p.w;
    if (o >= p.out_h) { return; }
    let first = window[o].x - p.first_row;
    var sum = vec3(1i << 21u);
    for (var t = 0u; t < window[o].y; t++) {
        let pixel = x[(first + t) * p.w + column];
        let rgb = vec3<i32>(vec3(pixel & 255u, (pixel >> 8u) & 255u, (pixel >> 16u) & 255u));
        sum += rgb * coefficients[o * p.taps + t];
    }
    let v = vec3<f32>(clamp(sum >> vec3(22u), vec3(0i), vec3(255i)));
    c[p.to4 + id] = stored(vec4((v - p.mean.xyz) * p.scale.xyz, 0.0));
}
