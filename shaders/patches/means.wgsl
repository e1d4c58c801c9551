// 3x3 mean of every position of rows `first .. first + rows`, zero padding counted. X [batch][h][w][c] ->
// channels `to ..` of C [batch][rows][w][row]. An invocation owns 4 channels of one position. Cost: 9 vec4
// loads. With F16, X is stored as f16.

//#include shared/stored.wgsl

struct Params { batch: u32, h: u32, w: u32, c4: u32, row4: u32, to4: u32, first: u32, rows: u32 }

@group(0) @binding(0) var<storage, read> x: array<Stored>;
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
    if (pixel >= p.batch * p.rows * p.w) { return; }
    let px = pixel % p.w;
    let py = p.first + pixel / p.w % p.rows;
    let image = pixel / (p.w * p.rows);
    var sum = vec4(0.0);
    for (var dy = 0u; dy < 3u; dy++) {
        let iy = py + dy - 1u;
        for (var dx = 0u; dx < 3u; dx++) {
            let ix = px + dx - 1u;
            if (iy < p.h && ix < p.w) {
                sum += wide(x[((image * p.h + iy) * p.w + ix) * p.c4 + channel]);
            }
        }
    }
    c[pixel * p.row4 + p.to4 + channel] = sum / 9.0;
}
