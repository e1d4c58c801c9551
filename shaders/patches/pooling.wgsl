// Adaptive average pooling of each position's patch, as PatchCore reduces embeddings (docs/method.md, section
// 3). X [batch][h][w][c], of which rows `first .. first + rows` get patches; the patch of a position is its
// side x side neighbourhood (side odd, zeros outside) ordered by channel, row, column: n = c * side^2 values.
// Value i of 0 .. m is the mean of floor(i n / m) .. ceil((i + 1) n / m); it goes to column `to + i` of C
// [batch][rows][w][row]. m, row, to % 4 = 0; m * n < 2^32. An invocation owns 4 values of one position. Cost:
// 4 * (n / m + 1) scalar loads, most of them from cache. With F16, X is stored as f16.

struct Params {
    batch: u32, h: u32, w: u32, c: u32, side: u32, m4: u32, row4: u32, to4: u32,
    first: u32, rows: u32,
}

//#if F16
@group(0) @binding(0) var<storage, read> x: array<u32>;
//#else
@group(0) @binding(0) var<storage, read> x: array<f32>;
//#endif
@group(0) @binding(1) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

// Value `index` of the patch around (py, px).
fn value(index: u32, image: u32, py: u32, px: u32) -> f32 {
    let taps = p.side * p.side;
    let channel = index / taps;
    let tap = index - channel * taps;
    // Unsigned wrap-around makes a negative coordinate larger than any size.
    let iy = py + tap / p.side - p.side / 2u;
    let ix = px + tap % p.side - p.side / 2u;
    if (iy >= p.h || ix >= p.w) { return 0.0; }
    let at = ((image * p.h + iy) * p.w + ix) * p.c + channel;
//#if F16
    return unpack2x16float(x[at / 2u])[at % 2u];
//#else
    return x[at];
//#endif
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let column = id % p.m4;
    let pixel = id / p.m4;
    if (pixel >= p.batch * p.rows * p.w) { return; }
    let px = pixel % p.w;
    let py = p.first + pixel / p.w % p.rows;
    let image = pixel / (p.w * p.rows);
    let n = p.c * p.side * p.side;
    let m = 4u * p.m4;
    var means = vec4(0.0);
    for (var j = 0u; j < 4u; j++) {
        let i = 4u * column + j;
        let first = i * n / m;
        let end = ((i + 1u) * n + m - 1u) / m;
        var sum = 0.0;
        for (var v = first; v < end; v++) { sum += value(v, image, py, px); }
        means[j] = sum / f32(end - first);
    }
    c[pixel * p.row4 + p.to4 + column] = means;
}
