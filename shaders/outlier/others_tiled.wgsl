// The K nearest patches of other images, as others_direct.wgsl says it, for GPUs: a tile is 64 patches. A
// workgroup of 256 owns a tile of queries. It tests the boxes of 256 tiles of candidates at a time, and
// measures those that are near enough: an invocation sums 4 x 4 squared distances (rows ty + 16 i, columns 4
// tx .. 4 tx + 3) from pieces 16 values deep in workgroup memory, and all leave the tile together as soon as
// no sum is near enough. Distances then go through the same memory, 32 columns at a time, to invocation me,
// which keeps the K nearest of a quarter of the columns of row me / 4; at the end the four lists of a row are
// merged. 13 KiB of workgroup memory. Cost per tile measured: R/16 steps of 2 vec4 loads and 64 vec4 reads of
// workgroup memory per invocation, 16 insertions.
const K: u32 = 6u;
const BOX4: u32 = 8u;
const TILE: u32 = 64u;
const LARGEST: f32 = 3.40282347e38;
const NONE: u32 = 0xffffffffu;
// If each of four lists has so many entries up to a distance, the K-th of all is no farther.
const SHARE: u32 = (K + 3u) / 4u;

struct Params {
    first: u32,
    end: u32,
    query_tiles: u32,
    columns: u32,
    tiles: u32,
    window: u32,
    r4: u32,
    positions: u32,
    fresh: u32,
    last: u32,
    slack: f32,
}

@group(0) @binding(0) var<storage, read> queries: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> query_boxes: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> query_ids: array<u32>;
@group(0) @binding(3) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> boxes: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> ids: array<u32>;
@group(0) @binding(6) var<storage, read_write> distances: array<f32>;
@group(0) @binding(7) var<storage, read_write> indices: array<u32>;
@group(0) @binding(8) var<uniform> p: Params;

const PITCH: u32 = 5u;
// Where the columns' piece starts behind the rows' one.
const COLUMNS: u32 = 320u;
// Bits of floats: lists put whole numbers there, too.
var<workgroup> piece: array<vec4<u32>, 640>;
// Sums up to which a candidate may still come into a row's list; below 0 for what is no query.
var<workgroup> needs: array<f32, 64>;
var<workgroup> pool: array<f32, 256>;
var<workgroup> hits: array<u32, 256>;
var<workgroup> counter: atomic<u32>;
var<workgroup> result: u32;
var<workgroup> limit: f32;

var<private> near: array<f32, K>;
var<private> who: array<u32, K>;
// The tile of queries.
var<private> own: u32;

fn square(v: vec4<f32>) -> f32 {
    return dot(v, v);
}

fn at(slot: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(piece[slot]);
}

fn columns(xv: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>) -> vec4<f32> {
    return vec4(square(xv - w0), square(xv - w1), square(xv - w2), square(xv - w3));
}

// Whether the pair (d, other) comes before the list's entry s.
fn before(d: f32, other: u32, s: u32) -> bool {
    return d < near[s] || (d == near[s] && d < LARGEST && other < who[s]);
}

fn insert(d: f32, other: u32) {
    if (before(d, other, K - 1u)) {
        // Counted upwards: drivers unroll that, and a list that is indexed at run time is slow.
        for (var u = 1u; u < K; u++) {
            let s = K - u;
            let moved = before(d, other, s - 1u);
            let here = before(d, other, s);
            near[s] = select(select(near[s], d, here), near[s - 1u], moved);
            who[s] = select(select(who[s], other, here), who[s - 1u], moved);
        }
        if (before(d, other, 0u)) {
            near[0] = d;
            who[0] = other;
        }
    }
}

// Squared distance from the query tile's box to another one.
fn apart(other: u32) -> f32 {
    var sum = 0.0;
    for (var k = 0u; k < BOX4; k++) {
        let a = 2u * (own * BOX4 + k);
        let b = 2u * (other * BOX4 + k);
        let e = max(max(boxes[b] - query_boxes[a + 1u], query_boxes[a] - boxes[b + 1u]), vec4(0.0));
        sum += square(e);
    }
    return sum;
}

// Whether it is so for some invocation; the same for all.
fn some(mine: bool, me: u32) -> bool {
    if (mine) { atomicOr(&counter, 1u); }
    workgroupBarrier();
    if (me == 0u) {
        result = atomicLoad(&counter);
        atomicStore(&counter, 0u);
    }
    return workgroupUniformLoad(&result) != 0u;
}

fn close(sums: vec4<f32>, row: u32) -> bool {
    return any(sums <= vec4(needs[row]));
}

// Measures a tile of candidates against all queries.
fn measure(tile: u32, image: u32, me: u32) {
    let tx = me % 16u;
    let ty = me / 16u;
    let srow = me / 4u;
    let part = me % 4u;
    var acc0 = vec4(0.0);
    var acc1 = vec4(0.0);
    var acc2 = vec4(0.0);
    var acc3 = vec4(0.0);
    var wanted = true;
    for (var k = 0u; k < p.r4 && wanted; k += 4u) {
        let kk = k + part;
        var xv = vec4(0.0);
        var wv = vec4(0.0);
        if (kk < p.r4) {
            xv = queries[(own * TILE + srow) * p.r4 + kk];
            wv = rows[(tile * TILE + srow) * p.r4 + kk];
        }
        workgroupBarrier();
        piece[srow * PITCH + part] = bitcast<vec4<u32>>(xv);
        piece[COLUMNS + srow * PITCH + part] = bitcast<vec4<u32>>(wv);
        workgroupBarrier();
        for (var q = 0u; q < 4u; q++) {
            let w0 = at(COLUMNS + (4u * tx) * PITCH + q);
            let w1 = at(COLUMNS + (4u * tx + 1u) * PITCH + q);
            let w2 = at(COLUMNS + (4u * tx + 2u) * PITCH + q);
            let w3 = at(COLUMNS + (4u * tx + 3u) * PITCH + q);
            acc0 += columns(at(ty * PITCH + q), w0, w1, w2, w3);
            acc1 += columns(at((ty + 16u) * PITCH + q), w0, w1, w2, w3);
            acc2 += columns(at((ty + 32u) * PITCH + q), w0, w1, w2, w3);
            acc3 += columns(at((ty + 48u) * PITCH + q), w0, w1, w2, w3);
        }
        // Every 32 values: a vote costs two barriers.
        if (k % 8u == 4u) {
            let upper = close(acc0, ty) || close(acc1, ty + 16u);
            wanted = some(upper || close(acc2, ty + 32u) || close(acc3, ty + 48u), me);
        }
    }
    if (!wanted) { return; }
    for (var half = 0u; half < 2u; half++) {
        workgroupBarrier();
        if (tx / 8u == half) {
            // Turned by the row, so that rows start in different banks.
            let c = tx % 8u;
            piece[ty * 8u + ((c + ty) & 7u)] = bitcast<vec4<u32>>(acc0);
            piece[(ty + 16u) * 8u + ((c + ty) & 7u)] = bitcast<vec4<u32>>(acc1);
            piece[(ty + 32u) * 8u + ((c + ty) & 7u)] = bitcast<vec4<u32>>(acc2);
            piece[(ty + 48u) * 8u + ((c + ty) & 7u)] = bitcast<vec4<u32>>(acc3);
        }
        workgroupBarrier();
        for (var c = 2u * part; c < 2u * part + 2u; c++) {
            let d = at(srow * 8u + ((c + srow) & 7u));
            let column = tile * TILE + 32u * half + 4u * c;
            for (var i = 0u; i < 4u; i++) {
                if (d[i] <= needs[srow]) {
                    let other = ids[column + i];
                    if (other != NONE && other / p.positions != image) { insert(d[i], other); }
                }
            }
        }
    }
    pool[me] = near[SHARE - 1u];
    workgroupBarrier();
    if (part == 0u && needs[srow] >= 0.0) {
        let most = max(max(pool[me], pool[me + 1u]), max(pool[me + 2u], pool[me + 3u]));
        needs[srow] = min(needs[srow], most * p.slack);
    }
    workgroupBarrier();
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    own = p.first + wid.x + wid.y * groups.x;
    if (own >= p.end) { return; }
    let srow = me / 4u;
    let part = me % 4u;
    let id = query_ids[own * TILE + srow];
    let image = id / p.positions;
    for (var s = 0u; s < K; s++) {
        near[s] = LARGEST;
        who[s] = id;
    }
    var finite = true;
    for (var k = part; k < p.r4; k += 4u) {
        let v = abs(queries[(own * TILE + srow) * p.r4 + k]);
        finite = finite && all(v <= vec4(LARGEST));
    }
    pool[me] = select(-1.0, LARGEST, finite && id != NONE);
    if (me == 0u) { atomicStore(&counter, 0u); }
    workgroupBarrier();
    if (part == 0u) {
        if (p.fresh == 0u && id != NONE) {
            for (var s = 0u; s < K; s++) {
                near[s] = distances[id * K + s];
                who[s] = indices[id * K + s];
            }
        }
        let query = min(min(pool[me], pool[me + 1u]), min(pool[me + 2u], pool[me + 3u]));
        needs[srow] = select(min(near[K - 1u] * p.slack, LARGEST), -1.0, query < 0.0);
    }
    workgroupBarrier();
    let column = own / p.query_tiles;
    let start = (column - min(column, p.window)) * p.tiles;
    let stop = min(column + p.window + 1u, p.columns) * p.tiles;
    // First those that lie closest in the tree, then chunks of tiles, its own first.
    let nearest = start + min(own - start, stop - start - 1u);
    measure(nearest, image, me);
    let chunks = (stop - start + 255u) / 256u;
    let turns = select(1u << (32u - countLeadingZeros(chunks - 1u)), 1u, chunks == 1u);
    for (var turn = 0u; turn < turns; turn++) {
        let tile = start + 256u * (((nearest - start) / 256u) ^ turn) + me;
        if (me == 0u) {
            var most = -1.0;
            for (var i = 0u; i < 64u; i++) { most = max(most, needs[i]); }
            limit = most;
            atomicStore(&counter, 0u);
        }
        let most = workgroupUniformLoad(&limit);
        if (tile < stop && tile != nearest && apart(tile) <= most) { hits[atomicAdd(&counter, 1u)] = tile; }
        workgroupBarrier();
        if (me == 0u) {
            result = atomicLoad(&counter);
            atomicStore(&counter, 0u);
        }
        let count = workgroupUniformLoad(&result);
        for (var i = 0u; i < count; i++) { measure(workgroupUniformLoad(&hits[i]), image, me); }
    }
    // Eight entries at a time, two a vec4, as (distance, patch, distance, patch).
    for (var other = 1u; other < 4u; other++) {
        for (var first = 0u; first < K; first += 8u) {
            workgroupBarrier();
            if (part == other) {
                for (var s = 0u; s < K; s++) {
                    if (s >= first && s < first + 8u && s % 2u == 0u) {
                        let t = min(s + 1u, K - 1u);
                        let d = bitcast<vec2<u32>>(vec2(near[s], near[t]));
                        piece[srow * 4u + s % 8u / 2u] = vec4(d.x, who[s], d.y, who[t]);
                    }
                }
            }
            workgroupBarrier();
            if (part == 0u) {
                for (var s = first; s < min(first + 8u, K); s += 2u) {
                    let pair = piece[srow * 4u + s % 8u / 2u];
                    insert(bitcast<f32>(pair.x), pair.y);
                    if (s + 1u < K) { insert(bitcast<f32>(pair.z), pair.w); }
                }
            }
        }
    }
    if (part == 0u && id != NONE) {
        for (var s = 0u; s < K; s++) {
            let d = select(LARGEST, sqrt(near[s]), near[s] < LARGEST);
            distances[id * K + s] = select(near[s], d, p.last != 0u);
            indices[id * K + s] = who[s];
        }
    }
}
