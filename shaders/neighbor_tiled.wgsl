// Nearest bank row of every query within each split of the bank, by the sum of squared differences; ties go to the smaller
// index. With EXCLUDE rows of the query's own image are passed over. With BOUND, on shortened rows, it is the smallest
// distance of every 4 rows instead, all of which go to distance [queries][bounds_pitch].
// x [queries][d4], bank [rows][d4], row_image [rows], query_image [queries]; distance and index [splits][queries].
//
// For GPUs, as gemm_tiled: a workgroup of 256 owns 64 queries and walks its split 64 rows at a time, an invocation 4 x 4;
// both are staged 16 values deep in workgroup memory (10 KiB), which the 16 invocations of a query's row share again to
// settle on one row at the end.

//#include shared/neighbor.wgsl

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bank: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> row_image: array<u32>;
@group(0) @binding(3) var<storage, read> query_image: array<u32>;
@group(0) @binding(4) var<storage, read_write> distance: array<f32>;
@group(0) @binding(5) var<storage, read_write> index: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

const PITCH: u32 = 5u;
var<workgroup> xs: array<vec4<f32>, 320>;
var<workgroup> ys: array<vec4<f32>, 320>;
var<workgroup> rows_found: array<vec4<u32>, 256>;

fn columns(sum: vec4<f32>, v: vec4<f32>, y0: vec4<f32>, y1: vec4<f32>, y2: vec4<f32>, y3: vec4<f32>) -> vec4<f32> {
    return vec4(
        add_squares(sum.x, v - y0), add_squares(sum.y, v - y1), add_squares(sum.z, v - y2), add_squares(sum.w, v - y3),
    );
}

struct Best { distance: f32, row: u32 }

fn fold(best: Best, row: u32, end: u32, query: u32, sums: vec4<f32>) -> Best {
    var b = best;
    for (var i = 0u; i < 4u; i++) {
        if (row + i < end && sums[i] < b.distance) {
//#if EXCLUDE
            if (row_image[row + i] == query_image[min(query, p.queries - 1u)]) { continue; }
//#endif
            b = Best(sums[i], row + i);
        }
    }
    return b;
}

//#if BOUND
fn store(row: u32, end: u32, query: u32, sums: vec4<f32>) {
    // Rows past the end repeat the last one.
    if (row < end && query < p.queries) {
        distance[query * bounds_pitch() + row / 4u] = min(min(sums.x, sums.y), min(sums.z, sums.w));
    }
}
//#endif

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let tx = me % 16u;
    let ty = me / 16u;
    // What this invocation stages: row me / 4 of either tile, vec4 me % 4 of the step.
    let srow = me / 4u;
    let sk = me % 4u;
    let slot = srow * PITCH + sk;
    let query0 = wid.x * 64u;
    let end = min(p.rows, (wid.y + 1u) * p.split);
    let xbase = min(query0 + srow, p.queries - 1u) * p.d4;
    var best0 = Best(NOTHING, NO_ROW);
    var best1 = Best(NOTHING, NO_ROW);
    var best2 = Best(NOTHING, NO_ROW);
    var best3 = Best(NOTHING, NO_ROW);
    for (var row0 = wid.y * p.split; row0 < end; row0 += 64u) {
        let ybase = min(row0 + srow, end - 1u) * p.d4;
        var acc0 = vec4(0.0);
        var acc1 = vec4(0.0);
        var acc2 = vec4(0.0);
        var acc3 = vec4(0.0);
        for (var k = 0u; k < p.d4; k += 4u) {
            var xv = vec4(0.0);
            var yv = vec4(0.0);
            if (k + sk < p.d4) {
                xv = x[xbase + k + sk];
                yv = bank[ybase + k + sk];
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
        let row = row0 + 4u * tx;
//#if BOUND
        store(row, end, query0 + ty, acc0);
        store(row, end, query0 + ty + 16u, acc1);
        store(row, end, query0 + ty + 32u, acc2);
        store(row, end, query0 + ty + 48u, acc3);
//#else
        best0 = fold(best0, row, end, query0 + ty, acc0);
        best1 = fold(best1, row, end, query0 + ty + 16u, acc1);
        best2 = fold(best2, row, end, query0 + ty + 32u, acc2);
        best3 = fold(best3, row, end, query0 + ty + 48u, acc3);
//#endif
    }
//#if !BOUND
    workgroupBarrier();
    xs[me] = vec4(best0.distance, best1.distance, best2.distance, best3.distance);
    rows_found[me] = vec4(best0.row, best1.row, best2.row, best3.row);
    workgroupBarrier();
    // Invocation i + 16 t settles query i + 16 t of the workgroup: component t of the 16 that looked at it.
    if (me < 64u) {
        let i = me % 16u;
        let t = me / 16u;
        var best = Best(NOTHING, NO_ROW);
        for (var s = 0u; s < 16u; s++) {
            let d = xs[16u * i + s][t];
            let row = rows_found[16u * i + s][t];
            if (d < best.distance || (d == best.distance && row < best.row)) { best = Best(d, row); }
        }
        let query = query0 + i + 16u * t;
        if (query < p.queries) {
            distance[wid.y * p.queries + query] = best.distance;
            index[wid.y * p.queries + query] = select(p.row0 + best.row, NO_ROW, best.row == NO_ROW);
        }
    }
//#endif
}
