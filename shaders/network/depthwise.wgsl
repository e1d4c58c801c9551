// C = clamp(depthwise convolution(X, W) + bias, lo, hi). X [batch][in_h][in_w][c], W [K][K][c], C
// [batch][out_h][out_w][c]. With F16, X, W and C are stored as f16.
//
// An invocation owns 4 channels of TX neighbouring outputs of a row, so that a loaded row serves K taps of TX
// outputs; neighbouring invocations take neighbouring channels. No workgroup memory.
// Cost: K * ((TX - 1) * S + 2 K) vec4 loads for 4 * TX * K * K multiply-adds.
//#include shared/stored.wgsl
const K: u32 = 3u;
const S: u32 = 1u;
const TX: u32 = 7u;
const COLUMNS: u32 = (TX - 1u) * S + K;

struct Params {
    batch: u32, channels: u32, in_h: u32, in_w: u32,
    out_h: u32, out_w: u32, pad_top: u32, pad_left: u32,
    rows: u32, lo: f32, hi: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read> w: array<Stored>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<Stored>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let runs = (p.out_w + TX - 1u) / TX;
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let channel = id % p.channels;
    let run = id / p.channels;
    let row = run / runs;
    if (row >= p.batch * p.out_h) { return; }
    let ox = run % runs * TX;
    let oy = row % p.out_h;
    let image = row / p.out_h;
    let b = bias[channel];
    var acc: array<vec4<f32>, TX>;
    for (var t = 0u; t < TX; t++) { acc[t] = b; }
    for (var ky = 0u; ky < K; ky++) {
        // Unsigned wrap-around makes a negative coordinate larger than any size.
        let iy = oy * S + ky - p.pad_top;
        if (iy < p.in_h) {
            let base = (image * p.in_h + iy) * p.in_w;
            var line: array<vec4<f32>, COLUMNS>;
            for (var i = 0u; i < COLUMNS; i++) {
                let ix = ox * S + i - p.pad_left;
                let inside = ix < p.in_w;
                let v = wide(x[(base + select(0u, ix, inside)) * p.channels + channel]);
                line[i] = select(vec4(0.0), v, inside);
            }
            for (var kx = 0u; kx < K; kx++) {
                let wv = wide(w[(ky * K + kx) * p.channels + channel]);
                for (var t = 0u; t < TX; t++) { acc[t] += line[t * S + kx] * wv; }
            }
        }
    }
    for (var t = 0u; t < TX; t++) {
        if (ox + t < p.out_w) {
            c[((image * p.out_h + oy) * p.out_w + ox + t) * p.channels + channel] =
                stored(clamp(acc[t], vec4(p.lo), vec4(p.hi)));
        }
    }
}
