// C = maximum over K x K windows; padding never wins. X [batch][in_h][in_w][c], C [batch][out_h][out_w][c].
// An invocation owns 4 channels of one output. Cost: K * K vec4 loads. With F16, X and C are stored as f16.

//#include shared/stored.wgsl

struct Params {
    batch: u32, c4: u32, in_h: u32, in_w: u32,
    out_h: u32, out_w: u32, kernel: u32, stride: u32,
    pad_top: u32, pad_left: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> c: array<Stored>;
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
    if (pixel >= p.batch * p.out_h * p.out_w) { return; }
    let ox = pixel % p.out_w;
    let oy = pixel / p.out_w % p.out_h;
    let image = pixel / (p.out_w * p.out_h);
    // The lowest number that is stored: a window in the padding alone has it.
    var best = LOWEST;
    for (var ky = 0u; ky < p.kernel; ky++) {
        // Unsigned wrap-around makes a negative coordinate larger than any size.
        let iy = oy * p.stride + ky - p.pad_top;
        for (var kx = 0u; kx < p.kernel; kx++) {
            let ix = ox * p.stride + kx - p.pad_left;
            if (iy < p.in_h && ix < p.in_w) {
                best = max(best, wide(x[((image * p.in_h + iy) * p.in_w + ix) * p.c4 + channel]));
            }
        }
    }
    c[id] = stored(best);
}
