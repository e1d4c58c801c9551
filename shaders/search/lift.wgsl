// What the nearest-neighbour search compares: for rows x - mean the head h (leading axes; C [rows][K] holds
// them, with any three values behind) and how long the rest is. The last three values of the head become
//   scale       |x| + |x - mean|, which the rounding of all else here is measured by
//   low, high   bounds of the rest's length: sqrt(|x - mean|^2 - |h|^2) less and more what f32 may have lost
// so that |h_a - h_b|^2 + max(0, low_a - high_b, low_b - high_a)^2 is a lower bound of |a - b|^2. Where
// further axes follow the head, three such values follow them, for what is left behind them.
// An invocation owns one row. Cost: D/4 + K/4 vec4 loads.

struct Params { rows: u32, d4: u32, head4: u32, more4: u32, slack: f32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> mean: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let row = (wid.x + wid.y * groups.x) * 64u + me;
    if (row >= p.rows) { return; }
    var raw = 0.0;
    var all = 0.0;
    for (var i = 0u; i < p.d4; i++) {
        let v = x[row * p.d4 + i];
        raw += dot(v, v);
        let centred = v - mean[i];
        all += dot(centred, centred);
    }
    var front = 0.0;
    let start = row * (p.head4 + p.more4);
    for (var part = 0u; part < select(2u, 1u, p.more4 == 0u); part++) {
        let end = start + p.head4 + part * p.more4 - 1u;
        for (var i = start + part * p.head4; i < end; i++) {
            let h = c[i];
            front += dot(h, h);
        }
        let last = c[end].x;
        front += last * last;
        let rest = all - front;
        let lost = p.slack * (raw + all);
        c[end] = vec4(last, sqrt(raw) + sqrt(all), sqrt(max(rest - lost, 0.0)), sqrt(max(rest, 0.0) + lost));
    }
}
