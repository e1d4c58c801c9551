// Antialiased resize in fixed point, as Pillow does it: rows, then columns, rounded to 8 bit after each.
//   rows:    X, `rows` rows of `in_w` packed pixels (r | g << 8 | b << 16) -> rows `to_row ..` of packed
//            [..][out_w]
//   columns: X [images][in_rows][w] packed pixels -> [images][out_h][w][4] normalised floats (v - mean) *
//            scale at vec4 `to4`, the fourth channel 0; with F16 stored as f16: outputs `first_out ..` of the
//            axis, from rows of each image from `first_row` on.
// Output o of an axis sums window[o].y inputs from window[o].x on, with coefficients of 22 fractional bits.
// An invocation owns one output pixel. Cost: as many loads of pixels and coefficients as there are taps.

//#include shared/stored.wgsl

struct RowParams { rows: u32, in_w: u32, out_w: u32, taps: u32, to_row: u32 }

struct ColumnParams {
    w: u32, out_h: u32, taps: u32, first_row: u32,
    mean: vec4<f32>, scale: vec4<f32>,
    to4: u32, first_out: u32, images: u32, in_rows: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> window: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> coefficients: array<i32>;
@group(0) @binding(3) var<storage, read_write> packed: array<u32>;
@group(0) @binding(4) var<uniform> p_rows: RowParams;

// Output `o` as whole levels, from pixels that lie `step` apart from `first` on.
fn levels(o: u32, first: u32, step: u32, taps: u32) -> vec3<i32> {
    var sum = vec3(1i << 21u);
    for (var t = 0u; t < window[o].y; t++) {
        let pixel = x[first + t * step];
        let rgb = vec3<i32>(vec3(pixel & 255u, (pixel >> 8u) & 255u, (pixel >> 16u) & 255u));
        sum += rgb * coefficients[o * taps + t];
    }
    return clamp(sum >> vec3(22u), vec3(0i), vec3(255i));
}

@compute @workgroup_size(64)
fn rows(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let p = p_rows;
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let o = id % p.out_w;
    let row = id / p.out_w;
    if (row >= p.rows) { return; }
    let rounded = vec3<u32>(levels(o, row * p.in_w + window[o].x, 1u, p.taps));
    packed[(p.to_row + row) * p.out_w + o] = rounded.x | (rounded.y << 8u) | (rounded.z << 16u);
}

@group(0) @binding(3) var<storage, read_write> image: array<Stored>;
@group(0) @binding(4) var<uniform> p_columns: ColumnParams;

@compute @workgroup_size(64)
fn columns(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let p = p_columns;
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let column = id % p.w;
    let row = id / p.w;
    if (row >= p.images * p.out_h) { return; }
    let o = p.first_out + row % p.out_h;
    let first = row / p.out_h * p.in_rows + window[o].x - p.first_row;
    let v = vec3<f32>(levels(o, first * p.w + column, p.w, p.taps));
    image[p.to4 + id] = stored(vec4((v - p.mean.xyz) * p.scale.xyz, 0.0));
}
