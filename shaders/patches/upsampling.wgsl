// Bilinear resampling of an in_h x in_w grid to out_h x out_w with half-pixel centres (no corner alignment),
// of which rows `out_first .. out_first + out_rows` are wanted and X has rows `in_first .. in_first +
// in_rows`. X [batch][in_rows][in_w][c] -> channels `to ..` of C [batch][out_rows][out_w][row]. An invocation
// owns 4 channels of one output position. Cost: 4 vec4 loads.

struct Params {
    batch: u32, c4: u32, in_h: u32, in_w: u32, out_h: u32, out_w: u32, row4: u32, to4: u32,
    in_first: u32, in_rows: u32, out_first: u32, out_rows: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let channel = id % p.c4;
    let pixel = id / p.c4;
    if (pixel >= p.batch * p.out_rows * p.out_w) { return; }
    let ox = pixel % p.out_w;
    let oy = p.out_first + pixel / p.out_w % p.out_rows;
    // Unsigned wrap-around: the sum with a row that X has is not below 0.
    let image = pixel / (p.out_w * p.out_rows) * p.in_rows - p.in_first;
    let fy = max((f32(oy) + 0.5) * f32(p.in_h) / f32(p.out_h) - 0.5, 0.0);
    let fx = max((f32(ox) + 0.5) * f32(p.in_w) / f32(p.out_w) - 0.5, 0.0);
    let y0 = min(u32(fy), p.in_h - 1u);
    let x0 = min(u32(fx), p.in_w - 1u);
    let y1 = min(y0 + 1u, p.in_h - 1u);
    let x1 = min(x0 + 1u, p.in_w - 1u);
    let ty = fy - f32(y0);
    let tx = fx - f32(x0);
    let a = x[((image + y0) * p.in_w + x0) * p.c4 + channel];
    let b = x[((image + y0) * p.in_w + x1) * p.c4 + channel];
    let d = x[((image + y1) * p.in_w + x0) * p.c4 + channel];
    let e = x[((image + y1) * p.in_w + x1) * p.c4 + channel];
    let top = a * (1.0 - tx) + b * tx;
    let bottom = d * (1.0 - tx) + e * tx;
    c[pixel * p.row4 + p.to4 + channel] = top * (1.0 - ty) + bottom * ty;
}
