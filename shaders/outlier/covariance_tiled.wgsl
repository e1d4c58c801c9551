// Covariance of every group: c[i][j] = sum over x of a[x][i] a[x][j] / max(n - 1, 1), plus RIDGE where i = j.
// a [groups][n][R] centred rows -> c [groups][R][R], R % 4 = 0; only the tiles on and below the diagonal are
// written.
//
// For GPUs: a workgroup of 256 owns 64 x 64 outputs, an invocation 4 x 4 (rows 4 ty .. 4 ty + 3, columns 4 tx
// .. 4 tx + 3). Each step stages 16 samples, 64 values for the rows and 64 for the columns, in workgroup
// memory (8 KiB). Accumulators are named vectors: indexed ones spill. Cost per step and invocation:
// 32 vec4 reads of workgroup memory for 256 multiply-adds.
const RIDGE: f32 = 0.01;

struct Params {
    n: u32,
    r4: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> rows: array<vec4<f32>, 256>;
var<workgroup> columns: array<vec4<f32>, 256>;

fn store(group: u32, row: u32, col4: u32, acc: vec4<f32>) {
    if (row < 4u * p.r4 && col4 < p.r4) {
        let ridge = vec4<f32>(vec4(row) == 4u * col4 + vec4(0u, 1u, 2u, 3u)) * RIDGE;
        c[(group * 4u * p.r4 + row) * p.r4 + col4] = acc / f32(max(p.n, 2u) - 1u) + ridge;
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    if (wid.x > wid.y) { return; }
    let tx = me % 16u;
    let ty = me / 16u;
    // What this invocation stages: vec4 tx of sample ty of the step.
    let row4 = wid.y * 16u + tx;
    let col4 = wid.x * 16u + tx;
    var acc0 = vec4(0.0);
    var acc1 = vec4(0.0);
    var acc2 = vec4(0.0);
    var acc3 = vec4(0.0);
    for (var x0 = 0u; x0 < p.n; x0 += 16u) {
        let start = (wid.z * p.n + x0 + ty) * p.r4;
        var left = vec4(0.0);
        var right = vec4(0.0);
        if (x0 + ty < p.n) {
            if (row4 < p.r4) { left = a[start + row4]; }
            if (col4 < p.r4) { right = a[start + col4]; }
        }
        workgroupBarrier();
        rows[me] = left;
        columns[me] = right;
        workgroupBarrier();
        for (var q = 0u; q < 16u; q++) {
            let s = rows[q * 16u + ty];
            let v = columns[q * 16u + tx];
            acc0 += v * s.x;
            acc1 += v * s.y;
            acc2 += v * s.z;
            acc3 += v * s.w;
        }
    }
    let row = wid.y * 64u + 4u * ty;
    store(wid.z, row, col4, acc0);
    store(wid.z, row + 1u, col4, acc1);
    store(wid.z, row + 2u, col4, acc2);
    store(wid.z, row + 3u, col4, acc3);
}
