// The K nearest other rows of every row within its group, by Euclidean distance, ascending; ties go to the
// smaller index. a [groups][n][R], R % 4 = 0 -> distances [groups][n][K], indices [groups][n][K] (rows of the
// group); 1 <= K < n. Distances are sums of squared differences, not |a|^2 + |b|^2 - 2 ab: near-duplicates
// keep all their digits, d(a, b) = d(b, a) exactly, and no norms are needed. A distance that is not finite is
// no neighbour: a row with fewer than K others left names itself, at the largest float.
//
// For GPUs: a workgroup of 256 owns 64 rows of one group and walks all rows of the group 64 at a time. An
// invocation sums 4 x 4 squared distances (rows ty + 16 i, columns 4 tx .. 4 tx + 3) from tiles 16 values
// deep in workgroup memory; the 64 x 64 distances then lie in the same memory, where invocation me keeps the
// K nearest among the columns 16 (me % 4) .. + 15 of row me / 4; at the end the four lists of a row are
// merged. All 16 KiB of workgroup memory. Cost: n/64 * R/16 steps of 2 vec4 loads and 64 vec4 reads of
// workgroup memory per invocation, n/4 insertions.
const K: u32 = 6u;
const LARGEST: f32 = 3.40282347e38;

struct Params {
    n: u32,
    r4: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> distances: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

const PITCH: u32 = 5u;
// Where the columns' tile starts behind the rows' one.
const COLUMNS: u32 = 320u;
var<workgroup> tile: array<vec4<f32>, 1024>;

fn square(v: vec4<f32>) -> f32 {
    return dot(v, v);
}

fn columns(xv: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return vec4(square(xv - w0), square(xv - w1), square(xv - w2), square(xv - w3));
}

// Slot of columns 4 c .. 4 c + 3 of a row of distances; turned by the row, so that rows start in different
// banks.
fn slot(row: u32, c: u32) -> u32 {
    return row * 16u + ((c + row) & 15u);
}

var<private> near: array<f32, K>;
var<private> who: array<u32, K>;

// Whether the pair (d, col) comes before the list's entry s.
fn before(d: f32, col: u32, s: u32) -> bool {
    return d < near[s] || (d == near[s] && d < LARGEST && col < who[s]);
}

fn insert(d: f32, col: u32) {
    if (before(d, col, K - 1u)) {
        // Counted upwards: drivers unroll that, and a list that is indexed at run time is slow.
        for (var u = 1u; u < K; u++) {
            let s = K - u;
            let moved = before(d, col, s - 1u);
            let here = before(d, col, s);
            near[s] = select(select(near[s], d, here), near[s - 1u], moved);
            who[s] = select(select(who[s], col, here), who[s - 1u], moved);
        }
        if (before(d, col, 0u)) {
            near[0] = d;
            who[0] = col;
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let row0 = wid.x * 64u;
    let group = wid.y * p.n;
    let tx = me % 16u;
    let ty = me / 16u;
    // What this invocation stages: row me / 4 of either tile, vec4 me % 4 of the step. And what it selects.
    let srow = me / 4u;
    let part = me % 4u;
    let xrow = row0 + srow;
    for (var s = 0u; s < K; s++) {
        near[s] = LARGEST;
        who[s] = xrow;
    }
    for (var col0 = 0u; col0 < p.n; col0 += 64u) {
        let wrow = col0 + srow;
        var acc0 = vec4(0.0);
        var acc1 = vec4(0.0);
        var acc2 = vec4(0.0);
        var acc3 = vec4(0.0);
        for (var k = 0u; k < p.r4; k += 4u) {
            let kk = k + part;
            var xv = vec4(0.0);
            var wv = vec4(0.0);
            if (kk < p.r4) {
                if (xrow < p.n) { xv = a[(group + xrow) * p.r4 + kk]; }
                if (wrow < p.n) { wv = a[(group + wrow) * p.r4 + kk]; }
            }
            workgroupBarrier();
            tile[srow * PITCH + part] = xv;
            tile[COLUMNS + srow * PITCH + part] = wv;
            workgroupBarrier();
            for (var q = 0u; q < 4u; q++) {
                let w0 = tile[COLUMNS + (4u * tx) * PITCH + q];
                let w1 = tile[COLUMNS + (4u * tx + 1u) * PITCH + q];
                let w2 = tile[COLUMNS + (4u * tx + 2u) * PITCH + q];
                let w3 = tile[COLUMNS + (4u * tx + 3u) * PITCH + q];
                acc0 += columns(tile[ty * PITCH + q], w0, w1, w2, w3);
                acc1 += columns(tile[(ty + 16u) * PITCH + q], w0, w1, w2, w3);
                acc2 += columns(tile[(ty + 32u) * PITCH + q], w0, w1, w2, w3);
                acc3 += columns(tile[(ty + 48u) * PITCH + q], w0, w1, w2, w3);
            }
        }
        workgroupBarrier();
        tile[slot(ty, tx)] = acc0;
        tile[slot(ty + 16u, tx)] = acc1;
        tile[slot(ty + 32u, tx)] = acc2;
        tile[slot(ty + 48u, tx)] = acc3;
        workgroupBarrier();
        for (var c = 0u; c < 4u; c++) {
            let d = tile[slot(srow, 4u * part + c)];
            let col = col0 + 16u * part + 4u * c;
            for (var i = 0u; i < 4u; i++) {
                if (col + i < p.n && col + i != xrow) { insert(d[i], col + i); }
            }
        }
    }
    // Two entries a vec4, as (distance, index, distance, index); an index is below 2^24 and exact as a float.
    for (var other = 1u; other < 4u; other++) {
        workgroupBarrier();
        if (part == other) {
            for (var s = 0u; s < K; s += 2u) {
                let t = min(s + 1u, K - 1u);
                tile[srow * 16u + s / 2u] = vec4(near[s], f32(who[s]), near[t], f32(who[t]));
            }
        }
        workgroupBarrier();
        if (part == 0u) {
            for (var s = 0u; s < K; s += 2u) {
                let pair = tile[srow * 16u + s / 2u];
                insert(pair.x, u32(pair.y));
                if (s + 1u < K) { insert(pair.z, u32(pair.w)); }
            }
        }
    }
    if (part == 0u && xrow < p.n) {
        for (var s = 0u; s < K; s++) {
            distances[(group + xrow) * K + s] = select(LARGEST, sqrt(near[s]), near[s] < LARGEST);
            indices[(group + xrow) * K + s] = who[s];
        }
    }
}
