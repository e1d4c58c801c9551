// First pass of the antialiased resize: along rows, in fixed point as Pillow does it.
// X: `rows` rows of `in_w` packed pixels (r | g << 8 | b << 16) -> C: rows `to_row ..` of [..][out_w] packed pixels.
// Output column o sums taps start[o] .. start[o] + count[o] with coefficients of 22 fractional bits, rounds, clamps.
// An invocation owns one output pixel. Cost: `count` loads of pixels and coefficients.

struct Params { rows: u32, in_w: u32, out_w: u32, taps: u32, to_row: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> window: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> coefficients: array<i32>;
@group(0) @binding(3) var<storage, read_write> c: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let o = id % p.out_w;
    let row = id / p.out_w;
    if (row >= p.rows) { return; }
    let first = window[o].x;
    var sum = vec3(1i << 21u);
    for (var t = 0u; t < window[o].y; t++) {
        let pixel = x[row * p.in_w + first + t];
        let rgb = vec3<i32>(vec3(pixel & 255u, (pixel >> 8u) & 255u, (pixel >> 16u) & 255u));
        sum += rgb * coefficients[o * p.taps + t];
    }
    let rounded = vec3<u32>(clamp(sum >> vec3(22u), vec3(0i), vec3(255i)));
    c[(p.to_row + row) * p.out_w + o] = rounded.x | (rounded.y << 8u) | (rounded.z << 16u);
}
