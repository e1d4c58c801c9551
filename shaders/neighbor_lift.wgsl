// What the first stage of the nearest-neighbour search compares: for rows x - mean the head h (R leading axes, given),
// the norm of the rest, and for the bank half the squared norm. C [rows][R + 4]:
//   query: h, rest, 1, 0, 0      bank: h, rest, -|x|^2 / 2, 0, 0
// so that |q|^2 - 2 C_q . C_b is a lower bound of |q - b|^2: the rests' product is never above |rest q| |rest b|.
// `rest` is rounded up by what f32 may have lost in |x|^2 - |h|^2, so the bound holds whatever the rounding.
// An invocation owns one row. Cost: D/4 + R/4 vec4 loads.

struct Params { rows: u32, d4: u32, r4: u32, bank: u32, slack: f32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> mean: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> head: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> norm: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let row = (wid.x + wid.y * groups.x) * 64u + me;
    if (row >= p.rows) { return; }
    var all = 0.0;
    for (var i = 0u; i < p.d4; i++) {
        let v = x[row * p.d4 + i] - mean[i];
        all += dot(v, v);
    }
    var front = 0.0;
    for (var i = 0u; i < p.r4; i++) {
        let h = head[row * p.r4 + i];
        front += dot(h, h);
        c[row * (p.r4 + 1u) + i] = h;
    }
    let rest = sqrt(max(all - front, 0.0) + p.slack * all);
    c[row * (p.r4 + 1u) + p.r4] = vec4(rest, select(1.0, -0.5 * all, p.bank != 0u), 0.0, 0.0);
    norm[row] = all;
}
