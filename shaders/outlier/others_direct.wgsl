// The K nearest patches of other images, ascending, by Euclidean distance; ties go to the smaller patch.
// Queries and candidates are strips of patches: grid positions in `columns`, each in `tiles` tiles of TILE
// patches that lie close together. A query is compared with the candidates of its column and of `window`
// columns to either side.
//   rows [columns][tiles][TILE][R], R % 4 = 0; ids [columns][tiles][TILE] their numbers, image * positions +
//   position, NONE past the end; boxes [columns][tiles][BOX4][2] the tiles' lower and upper corners along the
//   first 4 BOX4 values
//   distances, indices [patches][K] are read (unless `fresh`) and improved, so that one strip of candidates
//   follows the other; distances are squared until the `last`
// A distance that is not finite is no neighbour: a patch with fewer than K others names itself, at the
// largest float.
//
// Distances are sums of squared differences, whose terms are never negative: a tile whose box, or a candidate
// whose first 4 HEAD4 values, are farther than the K-th so far are left. Where principal axes come first that
// is nearly all of them. `slack` covers what sums in another order round to.
//
// For CPU drivers: no workgroup memory, no barrier. A workgroup of 8 lanes owns a tile of queries, two a
// lane. SUBGROUP (subgroups of exactly 8): lanes test a box each, load a candidate each and hand it round;
// what is left waits in a queue, a candidate a lane, and is measured eight at a time. Cost: 4 BOX4 loads at
// most for 8 boxes, HEAD4 * 2 per tile looked at, 3 R/4 per eight candidates measured.
//#include shared/stored.wgsl
//#if SUBGROUP
//#include shared/lanes8.wgsl
//#endif
const K: u32 = 6u;
const BOX4: u32 = 8u;
const HEAD4: u32 = 4u;
const TM: u32 = 2u;
const TILE: u32 = 16u;
const LARGEST: f32 = 3.40282347e38;
const NONE: u32 = 0xffffffffu;

struct Params {
    // Tile of queries that the first workgroup has, and the one past the last.
    first: u32,
    end: u32,
    // Tiles of a column of queries, columns of candidates, and their tiles.
    query_tiles: u32,
    columns: u32,
    tiles: u32,
    window: u32,
    r4: u32,
    // Patches of an image.
    positions: u32,
    fresh: u32,
    last: u32,
    slack: f32,
}

@group(0) @binding(0) var<storage, read> queries: array<Stored>;
@group(0) @binding(1) var<storage, read> query_boxes: array<Stored>;
@group(0) @binding(2) var<storage, read> query_ids: array<u32>;
@group(0) @binding(3) var<storage, read> rows: array<Stored>;
@group(0) @binding(4) var<storage, read> boxes: array<Stored>;
@group(0) @binding(5) var<storage, read> ids: array<u32>;
@group(0) @binding(6) var<storage, read_write> distances: array<f32>;
@group(0) @binding(7) var<storage, read_write> indices: array<u32>;
@group(0) @binding(8) var<uniform> p: Params;

var<private> base: array<u32, TM>;
var<private> id: array<u32, TM>;
var<private> head: array<array<vec4<f32>, TM>, HEAD4>;
var<private> near: array<array<f32, K>, TM>;
var<private> who: array<array<u32, K>, TM>;
// Sums up to which a candidate may still come into the list; below 0 for what is no query.
var<private> need: array<f32, TM>;

fn square(v: vec4<f32>) -> f32 {
    return dot(v, v);
}

// What is infinite is not less, so that it does not come into a list that is not full.
fn set_need(j: u32) {
    if (need[j] >= 0.0) { need[j] = min(near[j][K - 1u] * p.slack, LARGEST); }
}

// Reads the tile's queries of this lane and their lists.
fn begin(tile: u32, lane: u32) {
    for (var j = 0u; j < TM; j++) {
        let at = tile * TILE + lane + 8u * j;
        base[j] = at * p.r4;
        id[j] = query_ids[at];
        var finite = id[j] != NONE;
        for (var k = 0u; k < p.r4; k++) {
            finite = finite && all(abs(wide(queries[base[j] + k])) <= vec4(LARGEST));
        }
        need[j] = select(-1.0, LARGEST, finite);
        for (var k = 0u; k < HEAD4; k++) { head[k][j] = wide(queries[base[j] + k]); }
        for (var s = 0u; s < K; s++) {
            near[j][s] = LARGEST;
            who[j][s] = id[j];
        }
        if (p.fresh == 0u && id[j] != NONE) {
            for (var s = 0u; s < K; s++) {
                near[j][s] = distances[id[j] * K + s];
                who[j][s] = indices[id[j] * K + s];
            }
        }
        set_need(j);
    }
}

fn insert(j: u32, d: f32, other: u32) {
    // From the far end; counted upwards: drivers unroll that, and a list that is indexed at run time is slow.
    for (var u = 1u; u < K; u++) {
        let s = K - u;
        let moved = before(j, d, other, s - 1u);
        let here = before(j, d, other, s);
        near[j][s] = select(select(near[j][s], d, here), near[j][s - 1u], moved);
        who[j][s] = select(select(who[j][s], other, here), who[j][s - 1u], moved);
    }
    let first = before(j, d, other, 0u);
    near[j][0] = select(near[j][0], d, first);
    who[j][0] = select(who[j][0], other, first);
}

// Whether the pair comes before the list's entry s.
fn before(j: u32, d: f32, other: u32, s: u32) -> bool {
    return d < near[j][s] || (d == near[j][s] && d < LARGEST && other < who[j][s]);
}

// Whether a patch may be a neighbour of the query, and is near enough.
fn wanted(j: u32, d: f32, other: u32) -> bool {
    let foreign = other != NONE && other / p.positions != id[j] / p.positions;
    return need[j] >= 0.0 && foreign && before(j, d, other, K - 1u);
}

// Largest need of this lane's queries.
fn far() -> f32 {
    var most = need[0];
    for (var j = 1u; j < TM; j++) { most = max(most, need[j]); }
    return most;
}

// Squared distance from the query tile's box to another one.
fn apart(own: u32, other: u32, limit: f32) -> f32 {
    var sum = 0.0;
    for (var k = 0u; k < BOX4; k++) {
        let a = 2u * (own * BOX4 + k);
        let b = 2u * (other * BOX4 + k);
        let above = wide(boxes[b]) - wide(query_boxes[a + 1u]);
        let below = wide(query_boxes[a]) - wide(boxes[b + 1u]);
        sum += square(max(max(above, below), vec4(0.0)));
        if (!(sum <= limit)) { break; }
    }
    return sum;
}

fn write() {
    for (var j = 0u; j < TM; j++) {
        if (id[j] != NONE) {
            for (var s = 0u; s < K; s++) {
                let d = select(LARGEST, sqrt(near[j][s]), near[j][s] < LARGEST);
                distances[id[j] * K + s] = select(near[j][s], d, p.last != 0u);
                indices[id[j] * K + s] = who[j][s];
            }
        }
    }
}

//#if SUBGROUP
// Bits of the rows of a tile of candidates that are near enough along the first values for some query.
fn heads(tile: u32, lane: u32) -> u32 {
    var hits = 0u;
    for (var half = 0u; half < 2u; half++) {
        var acc: array<array<f32, TM>, 8>;
        for (var i = 0u; i < 8u; i++) { for (var j = 0u; j < TM; j++) { acc[i][j] = 0.0; } }
        let at = (tile * TILE + 8u * half + lane) * p.r4;
        for (var k = 0u; k < HEAD4; k++) {
            let v = wide(rows[at + k]);
            let s0 = subgroupBroadcast(v, 0u);
            for (var j = 0u; j < TM; j++) { acc[0][j] += square(head[k][j] - s0); }
            let s1 = subgroupBroadcast(v, 1u);
            for (var j = 0u; j < TM; j++) { acc[1][j] += square(head[k][j] - s1); }
            let s2 = subgroupBroadcast(v, 2u);
            for (var j = 0u; j < TM; j++) { acc[2][j] += square(head[k][j] - s2); }
            let s3 = subgroupBroadcast(v, 3u);
            for (var j = 0u; j < TM; j++) { acc[3][j] += square(head[k][j] - s3); }
            let s4 = subgroupBroadcast(v, 4u);
            for (var j = 0u; j < TM; j++) { acc[4][j] += square(head[k][j] - s4); }
            let s5 = subgroupBroadcast(v, 5u);
            for (var j = 0u; j < TM; j++) { acc[5][j] += square(head[k][j] - s5); }
            let s6 = subgroupBroadcast(v, 6u);
            for (var j = 0u; j < TM; j++) { acc[6][j] += square(head[k][j] - s6); }
            let s7 = subgroupBroadcast(v, 7u);
            for (var j = 0u; j < TM; j++) { acc[7][j] += square(head[k][j] - s7); }
        }
        for (var i = 0u; i < 8u; i++) {
            for (var j = 0u; j < TM; j++) { hits |= select(0u, 1u << (8u * half + i), acc[i][j] <= need[j]); }
        }
    }
    return joined8(hits);
}

// Measures the candidates of all lanes, `count` of them, against all queries.
fn measure(row: u32, count: u32, lane: u32) {
    var acc: array<array<f32, TM>, 8>;
    for (var i = 0u; i < 8u; i++) { for (var j = 0u; j < TM; j++) { acc[i][j] = 0.0; } }
    let at = row * p.r4;
    for (var k = 0u; k < p.r4; k++) {
        var xv: array<vec4<f32>, TM>;
        for (var j = 0u; j < TM; j++) { xv[j] = wide(queries[base[j] + k]); }
        let v = wide(rows[at + k]);
        let s0 = subgroupBroadcast(v, 0u);
        for (var j = 0u; j < TM; j++) { acc[0][j] += square(xv[j] - s0); }
        let s1 = subgroupBroadcast(v, 1u);
        for (var j = 0u; j < TM; j++) { acc[1][j] += square(xv[j] - s1); }
        let s2 = subgroupBroadcast(v, 2u);
        for (var j = 0u; j < TM; j++) { acc[2][j] += square(xv[j] - s2); }
        let s3 = subgroupBroadcast(v, 3u);
        for (var j = 0u; j < TM; j++) { acc[3][j] += square(xv[j] - s3); }
        let s4 = subgroupBroadcast(v, 4u);
        for (var j = 0u; j < TM; j++) { acc[4][j] += square(xv[j] - s4); }
        let s5 = subgroupBroadcast(v, 5u);
        for (var j = 0u; j < TM; j++) { acc[5][j] += square(xv[j] - s5); }
        let s6 = subgroupBroadcast(v, 6u);
        for (var j = 0u; j < TM; j++) { acc[6][j] += square(xv[j] - s6); }
        let s7 = subgroupBroadcast(v, 7u);
        for (var j = 0u; j < TM; j++) { acc[7][j] += square(xv[j] - s7); }
    }
    let mine = select(NONE, ids[row], lane < count);
    let names = array(
        subgroupBroadcast(mine, 0u), subgroupBroadcast(mine, 1u),
        subgroupBroadcast(mine, 2u), subgroupBroadcast(mine, 3u),
        subgroupBroadcast(mine, 4u), subgroupBroadcast(mine, 5u),
        subgroupBroadcast(mine, 6u), subgroupBroadcast(mine, 7u),
    );
    for (var i = 0u; i < 8u; i++) {
        for (var j = 0u; j < TM; j++) {
            let d = select(LARGEST, acc[i][j], wanted(j, acc[i][j], names[i]));
            if (any8(d < LARGEST)) { insert(j, d, names[i]); }
        }
    }
    for (var j = 0u; j < TM; j++) { set_need(j); }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let own = p.first + wid.x + wid.y * groups.x;
    if (own >= p.end) { return; }
    begin(own, lane);
    let column = own / p.query_tiles;
    let start = (column - min(column, p.window)) * p.tiles;
    let stop = min(column + p.window + 1u, p.columns) * p.tiles;
    // Blocks of 8 tiles; those near in the tree have numbers that differ in low bits.
    let blocks = (stop - start + 7u) / 8u;
    let turns = select(1u << (32u - countLeadingZeros(blocks - 1u)), 1u, blocks == 1u);
    let nearest = min(own - start, stop - start - 1u) / 8u;
    var turn = 0u;
    var hits = 0u;
    var apart_of = LARGEST;
    var block = 0u;
    var tile = 0u;
    var open = 0u;
    var queue = start * TILE;
    var count = 0u;
    var limit = most8(far());
    var over = limit < 0.0;
    loop {
        while (count < 8u && !over) {
            if (open != 0u) {
                queue = select(queue, tile * TILE + firstTrailingBit(open), lane == count);
                open &= open - 1u;
                count++;
            } else if (hits != 0u) {
                tile = start + 8u * block + firstTrailingBit(hits);
                hits &= hits - 1u;
                open = heads(tile, lane);
            } else if (turn < turns) {
                block = nearest ^ turn;
                turn++;
                apart_of = LARGEST;
                let t = start + 8u * block + lane;
                if (t < stop) { apart_of = apart(own, t, limit); }
                hits = joined8(select(0u, 1u << lane, t < stop && apart_of <= limit));
            } else {
                over = true;
            }
        }
        if (count == 0u) { break; }
        measure(queue, count, lane);
        count = 0u;
        limit = most8(far());
        hits &= joined8(select(0u, 1u << lane, apart_of <= limit));
    }
    write();
}
//#else
// Measures a candidate that may be near enough for one of the lane's queries.
fn measure(row: u32) {
    var sums: array<f32, TM>;
    for (var j = 0u; j < TM; j++) { sums[j] = 0.0; }
    for (var k = 0u; k < HEAD4; k++) {
        let v = wide(rows[row * p.r4 + k]);
        for (var j = 0u; j < TM; j++) { sums[j] += square(head[k][j] - v); }
    }
    var close = false;
    for (var j = 0u; j < TM; j++) { close = close || sums[j] <= need[j]; }
    if (!close) { return; }
    for (var k = HEAD4; k < p.r4; k++) {
        let v = wide(rows[row * p.r4 + k]);
        for (var j = 0u; j < TM; j++) { sums[j] += square(wide(queries[base[j] + k]) - v); }
    }
    for (var j = 0u; j < TM; j++) {
        if (wanted(j, sums[j], ids[row])) {
            insert(j, sums[j], ids[row]);
            set_need(j);
        }
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let own = p.first + wid.x + wid.y * groups.x;
    if (own >= p.end) { return; }
    begin(own, lane);
    let column = own / p.query_tiles;
    let start = (column - min(column, p.window)) * p.tiles;
    let stop = min(column + p.window + 1u, p.columns) * p.tiles;
    // Tiles near in the tree have numbers that differ in low bits.
    let tiles = stop - start;
    let turns = select(1u << (32u - countLeadingZeros(tiles - 1u)), 1u, tiles == 1u);
    let nearest = min(own - start, tiles - 1u);
    for (var turn = 0u; turn < turns; turn++) {
        let tile = start + (nearest ^ turn);
        if (tile < stop) {
            let limit = far();
            if (apart(own, tile, limit) <= limit) {
                for (var i = 0u; i < TILE; i++) { measure(tile * TILE + i); }
            }
        }
    }
    write();
}
//#endif
