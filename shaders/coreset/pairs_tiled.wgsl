// Squared distances between rows: mutual ones of the candidates, or with CENTRES those of the open clusters'
// centres from the batch's picks (and in `closeness` the smallest of each centre).
// x, y [..][r4] (CENTRES: both the bank), state, out [..][across]; with CENTRES open [..], clusters [picks].
//
// For GPUs, as gemm_tiled: a workgroup of 256 owns 64 x 64 distances, an invocation 4 x 4; 64 rows of x and
// of y are staged 16 values deep in workgroup memory (10 KiB). Workgroups walk the tiles with the grid's
// stride, as only the device knows how many there are. Cost per step of 16 values: 32 vec4 reads of workgroup
// memory per invocation for 256 squared differences.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> state: State;
//#if CENTRES
@group(0) @binding(3) var<storage, read> open: array<u32>;
@group(0) @binding(4) var<storage, read_write> clusters: array<CountingCluster>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;
//#else
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;
//#endif

const PITCH: u32 = 5u;
var<workgroup> xs: array<vec4<f32>, 320>;
var<workgroup> ys: array<vec4<f32>, 320>;

fn columns(sum: vec4<f32>, v: vec4<f32>, y0: vec4<f32>, y1: vec4<f32>, y2: vec4<f32>, y3: vec4<f32>) -> vec4<f32> {
    return vec4(
        add_squares(sum.x, v - y0), add_squares(sum.y, v - y1), add_squares(sum.z, v - y2), add_squares(sum.w, v - y3),
    );
}

fn store(i: u32, j: u32, m: u32, n: u32, sum: vec4<f32>) {
    if (i >= m || j >= n) { return; }
    var row = i;
//#if CENTRES
    row = open[i];
//#endif
    let to = row * p.across + j;
    var least = sum.x;
    out[to] = sum.x;
    if (j + 1u < n) { out[to + 1u] = sum.y; least = min(least, sum.y); }
    if (j + 2u < n) { out[to + 2u] = sum.z; least = min(least, sum.z); }
    if (j + 3u < n) { out[to + 3u] = sum.w; least = min(least, sum.w); }
//#if CENTRES
    atomicMax(&clusters[row].closeness, NEAREST - bitcast<u32>(least));
//#endif
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
//#if CENTRES
    let m = select(state.clusters, 0u, state.picked >= p.picks);
    let n = state.count;
    let first = state.first;
//#else
    let m = min(p.batch, state.candidates);
    let n = m;
    let first = 0u;
//#endif
    let tx = me % 16u;
    let ty = me / 16u;
    // What this invocation stages: row me / 4 of either tile, vec4 me % 4 of the step.
    let srow = me / 4u;
    let sk = me % 4u;
    let slot = srow * PITCH + sk;
    let across = (n + 63u) / 64u;
    let tiles = across * ((m + 63u) / 64u);
    for (var tile = wid.x; tile < tiles; tile += groups.x) {
        let row0 = tile / across * 64u;
        let col0 = tile % across * 64u;
        var xrow = min(row0 + srow, m - 1u);
//#if CENTRES
        xrow = open[xrow];
//#endif
        let yrow = first + min(col0 + srow, n - 1u);
        var acc0 = vec4(0.0);
        var acc1 = vec4(0.0);
        var acc2 = vec4(0.0);
        var acc3 = vec4(0.0);
        for (var k = 0u; k < p.r4; k += 4u) {
            var xv = vec4(0.0);
            var yv = vec4(0.0);
            if (k + sk < p.r4) {
                xv = x[xrow * p.r4 + k + sk];
                yv = y[yrow * p.r4 + k + sk];
            }
            workgroupBarrier();
            xs[slot] = xv;
            ys[slot] = yv;
            workgroupBarrier();
            for (var q = 0u; q < 4u; q++) {
                let y0 = ys[(4u * tx) * PITCH + q];
                let y1 = ys[(4u * tx + 1u) * PITCH + q];
                let y2 = ys[(4u * tx + 2u) * PITCH + q];
                let y3 = ys[(4u * tx + 3u) * PITCH + q];
                acc0 = columns(acc0, xs[ty * PITCH + q], y0, y1, y2, y3);
                acc1 = columns(acc1, xs[(ty + 16u) * PITCH + q], y0, y1, y2, y3);
                acc2 = columns(acc2, xs[(ty + 32u) * PITCH + q], y0, y1, y2, y3);
                acc3 = columns(acc3, xs[(ty + 48u) * PITCH + q], y0, y1, y2, y3);
            }
        }
        store(row0 + ty, col0 + 4u * tx, m, n, acc0);
        store(row0 + ty + 16u, col0 + 4u * tx, m, n, acc1);
        store(row0 + ty + 32u, col0 + 4u * tx, m, n, acc2);
        store(row0 + ty + 48u, col0 + 4u * tx, m, n, acc3);
    }
}
