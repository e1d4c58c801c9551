// Second stage of the exact nearest-neighbour search, as search.wgsl does it, for CPU drivers with
// subgroups of 8: four queries at a time, so that a row that is loaded serves four. Queries are patches that
// follow each other in an image, and mostly need the same tiles: they start at the tiles with their nearest
// boxes, then look at every tile whose box is near enough for one of them, those near in the tree first. A
// component of a vec4 belongs to a query.
//
// Tiles and rows go round the lanes for the bounds, a row's values for the distance. A row that its head leaves
// open has further axes added to its bound before it is measured. Cost per lane for four queries: m / (2 TILE)
// loads, K4 per row looked at, MORE4 per row left open, d/16 per row measured; `finished` counts the rows
// measured to the end.
//#include shared/stored.wgsl
//#include shared/texels.wgsl
//#include shared/lanes8.wgsl
const TILE: u32 = 16u;
// Vectors of a head with its tail, of what follows it, and of both.
const K4: u32 = 7u;
const MORE4: u32 = 0u;
const R4: u32 = K4 + MORE4;
// Vectors that a lane adds up before the sum is compared.
const STEPS: u32 = 5u;
const NONE: u32 = 0xffffffffu;
// Vectors of a row's head after which it may be left.
const FEW: u32 = min(2u, K4 - 1u);
const SOME: u32 = min(5u, K4 - 1u);

struct Params {
    q: u32, m: u32, d4: u32, quads: u32,
    skip: u32, query_image: u32, queries_per_image: u32,
    slack: f32,
}

//#if TEXELS
@group(0) @binding(0) var x: Texels;
fn x_at(i: u32) -> vec4<f32> { return textureLoad(x, texel(i)); }
//#else
@group(0) @binding(0) var<storage, read> x: array<Stored>;
fn x_at(i: u32) -> vec4<f32> { return wide(x[i]); }
//#endif
//#if TEXELS
@group(0) @binding(1) var bank: Texels;
fn bank_at(i: u32) -> vec4<f32> { return textureLoad(bank, texel(i)); }
//#else
@group(0) @binding(1) var<storage, read> bank: array<Stored>;
fn bank_at(i: u32) -> vec4<f32> { return wide(bank[i]); }
//#endif
@group(0) @binding(2) var<storage, read> boxes: array<Stored>;
@group(0) @binding(3) var<storage, read> lifted: array<Stored>;
//#if TEXELS
@group(0) @binding(4) var rows: Texels;
fn rows_at(i: u32) -> vec4<f32> { return textureLoad(rows, texel(i)); }
//#else
@group(0) @binding(4) var<storage, read> rows: array<Stored>;
fn rows_at(i: u32) -> vec4<f32> { return wide(rows[i]); }
//#endif
@group(0) @binding(5) var<storage, read> info: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> best: array<vec2<u32>>;
@group(0) @binding(7) var<storage, read_write> finished: array<atomic<u32>>;
@group(0) @binding(8) var<uniform> p: Params;

// The lifted queries.
var<private> own: array<array<vec4<f32>, 4>, R4>;
// Boxes that this lane has of the block at hand: those of four tiles for each query.
var<private> near: array<vec4<u32>, 4>;

// No less than the floor; what is no number stays so.
fn floored(v: f32, low: f32) -> f32 { return select(v, low, v < low); }

// Bits of the bounds of four boxes.
fn box_bounds(at: u32) -> vec4<u32> { return bitcast<vec4<u32>>(wide(boxes[at])); }

// Bits of the largest bounds that a row nearer than `distance` can have, see search.wgsl.
fn reach(distance: vec4<f32>) -> vec4<u32> {
    let scale = vec4(own[K4 - 1u][0].y, own[K4 - 1u][1].y, own[K4 - 1u][2].y, own[K4 - 1u][3].y);
    let far = sqrt(distance) + p.slack * (scale + sqrt(distance));
    return min(bitcast<vec4<u32>>(far * far), vec4(0x7f800000u));
}

// Tiles of the block whose boxes are near enough for some query, a bit each.
fn hits(need: vec4<u32>, lane: u32) -> u32 {
    let hit = (near[0] <= vec4(need.x)) | (near[1] <= vec4(need.y)) | (near[2] <= vec4(need.z)) | (near[3] <= vec4(need.w));
    let bits = select(vec4(0u), vec4(1u, 2u, 4u, 8u), hit);
    return joined8((bits.x | bits.y | bits.z | bits.w) << (4u * lane));
}

// Adds vectors start .. end of a lifted row to its bounds for the queries.
fn heads(before: vec4<f32>, row: u32, start: u32, end: u32) -> vec4<f32> {
    var sums = before;
    for (var k = start; k < end; k++) {
        let v = rows_at(row * R4 + k);
        for (var i = 0u; i < 4u; i++) {
            let d = own[k][i] - v;
            sums[i] += dot(d, d);
        }
    }
    return sums;
}

// Whether the lane's row may be near enough for some query.
fn near_enough(sums: vec4<f32>, need: vec4<u32>) -> bool {
    return any(bitcast<vec4<u32>>(sums) <= need);
}

// The last of the head's values, then what is left behind it: what they add for each query.
struct End { head: vec4<f32>, rest: vec4<f32> }

fn end_of(k: u32, other: vec4<f32>) -> End {
    var end: End;
    for (var i = 0u; i < 4u; i++) {
        let tail = own[k][i];
        let head = tail.x - other.x;
        let rest = max(max(tail.z - other.w, other.z - tail.w), 0.0);
        end.head[i] = head * head;
        end.rest[i] = rest * rest;
    }
    return end;
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let query0 = 4u * (wid.x + wid.y * groups.x);
    if (query0 >= p.q) { return; }
    // Past the end, the last one again.
    let queries = min(vec4(query0) + vec4(0u, 1u, 2u, 3u), vec4(p.q - 1u));
    let images = p.query_image + queries / p.queries_per_image;
    // A lane loads one of eight, and hands it round.
    for (var k = 0u; k < R4; k += 2u) {
        let v = wide(lifted[min(query0 + lane % 4u, p.q - 1u) * R4 + min(k + lane / 4u, R4 - 1u)]);
        own[k] = array(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
        if (k + 1u < R4) {
            own[k + 1u] = array(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
        }
    }
    var distance: vec4<f32>;
    var number: vec4<u32>;
    for (var i = 0u; i < 4u; i++) {
        let known = best[queries[i]];
        distance[i] = bitcast<f32>(known.x);
        number[i] = known.y;
    }
    // Distances are never negative: their bits are in the order of their values.
    var need = reach(distance);
    var count = 0u;

    let base = queries * p.quads;
    var low = vec4(NONE);
    var first = vec4(0u);
    for (var t = lane; t < p.quads; t += 8u) {
        for (var i = 0u; i < 4u; i++) {
            let v = box_bounds(base[i] + t);
            let nearest = min(min(v.x, v.y), min(v.z, v.w));
            if (nearest < low[i]) {
                low[i] = nearest;
                first[i] = 4u * t + select(select(select(3u, 2u, v.z == nearest), 1u, v.y == nearest), 0u, v.x == nearest);
            }
        }
    }
    let lowest = least8(low);
    first = least8(select(vec4(NONE), first, low == lowest));

    // Blocks of 32 tiles; blocks near in the tree have numbers that differ in low bits.
    let blocks = (4u * p.quads + 31u) / 32u;
    let end = select(1u << (32u - countLeadingZeros(blocks - 1u)), 1u, blocks == 1u);
    var started = 0u;
    var turn = 0u;
    var tiles = 0u;
    var tile = 0u;
    var block = 0u;
    var closer = false;
    var r0 = TILE;
    var bound = vec4(NONE);
    loop {
        low = least8(bound);
        let hit = low <= need;
        if (any(hit)) {
            // The nearest of the rows at hand for one of the queries.
            let i = select(select(select(3u, 2u, hit.z), 1u, hit.y), 0u, hit.x);
            let one = vec4(0u, 1u, 2u, 3u) == vec4(i);
            let chosen = firstTrailingBit(joined8(select(0u, 1u << lane, bound[i] == low[i])));
            bound = select(bound, vec4(NONE), one & vec4(lane == chosen));
            let row = TILE * tile + r0 + chosen;
            let values = queries[i] * p.d4;
            var part = 0.0;
            var sum = 0.0;
            var k = 0u;
            loop {
                let stop = min(k + STEPS * 8u, p.d4);
                for (var at = k + lane; at < stop; at += 8u) {
                    let v = x_at(values + at) - bank_at(row * p.d4 + at);
                    part += dot(v, v);
                }
                k += STEPS * 8u;
                sum = sum8(part);
                if (k >= p.d4 || sum > distance[i]) { break; }
            }
            count += select(0u, 1u, k >= p.d4 && query0 + i < p.q);
            sum = floored(sum, rows_at(row * R4 + K4 - 1u).y);
            let found = info[row].x;
            if (sum < distance[i] || (sum == distance[i] && found < number[i])) {
                distance = select(distance, vec4(sum), one);
                number = select(number, vec4(found), one);
                need = reach(distance);
                closer = true;
            }
        } else {
            // The next rows that may be near enough.
            r0 += 8u;
            if (r0 >= TILE) {
                r0 = 0u;
                var found = false;
                while (!found && turn <= end) {
                    if (started < 4u) {
                        tile = first[started];
                        found = !any((vec3(tile) == first.xyz) & (vec3(0u, 1u, 2u) < vec3(started)));
                        started++;
                    } else {
                        if (tiles == 0u) {
                            if (turn < end) {
                                block = (first.x / 32u) ^ turn;
                                let t = 8u * block + lane;
                                for (var i = 0u; i < 4u; i++) {
                                    near[i] = vec4(NONE);
                                    if (t < p.quads) { near[i] = box_bounds(base[i] + t); }
                                    // Those have been looked at.
                                    for (var j = 0u; j < 4u; j++) {
                                        near[i] = select(near[i], vec4(NONE), vec4(4u * t) + vec4(0u, 1u, 2u, 3u) == vec4(first[j]));
                                    }
                                }
                                tiles = hits(need, lane);
                                closer = false;
                            }
                            turn++;
                        } else if (closer) {
                            // What was near enough when the block was read may no longer be.
                            tiles &= hits(need, lane);
                            closer = false;
                        }
                        if (tiles != 0u) {
                            tile = 32u * block + firstTrailingBit(tiles);
                            tiles &= tiles - 1u;
                            found = true;
                        }
                    }
                }
                if (!found) { break; }
            }
            let r = TILE * tile + r0 + lane;
            bound = vec4(NONE);
            if (r < p.m) {
                // The first axes say most: few rows need the others.
                var sums = heads(vec4(0.0), r, 0u, FEW);
                if (near_enough(sums, need)) {
                    sums = heads(sums, r, FEW, SOME);
                    if (near_enough(sums, need)) {
                        sums = heads(sums, r, SOME, K4 - 1u);
                        let other = rows_at(r * R4 + K4 - 1u);
                        let end = end_of(K4 - 1u, other);
                        sums += end.head;
                        var all = sums + end.rest;
                        if (MORE4 > 0u) {
                            if (near_enough(all, need)) {
                                sums = heads(sums, r, K4, R4 - 1u);
                                let end = end_of(R4 - 1u, rows_at(r * R4 + R4 - 1u));
                                all = sums + end.head + end.rest;
                            }
                        }
                        for (var i = 0u; i < 4u; i++) { all[i] = floored(all[i], other.y); }
                        bound = bitcast<vec4<u32>>(all);
                        if (p.skip != 0u) { bound = select(bound, vec4(NONE), vec4(info[r].y) == images); }
                    }
                }
            }
        }
    }
    if (lane == 0u) {
        for (var i = 0u; i < 4u; i++) {
            if (query0 + i < p.q) { best[query0 + i] = vec2(bitcast<u32>(distance[i]), number[i]); }
        }
        atomicAdd(&finished[0], count);
    }
}
