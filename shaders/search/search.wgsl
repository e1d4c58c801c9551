// Second stage of the exact nearest-neighbour search. Per query: start at the tile with the nearest box, then
// look at every tile whose box is no farther than the best distance so far, those near in the tree first. Of
// a tile's rows, take those whose own bound (see lift.wgsl) is no farther, nearest bound first, and measure
// them, leaving a row as soon as its partial sum exceeds the best distance (terms are never negative). Ties
// go to the smaller row. X queries [q][d], bank [m][d] in the order of the tree, info [m] = (row, its image),
// lifted [q][K] and [m][K], boxes [q][quads] from the first stage; best [q] = (squared distance, row) is read
// and improved, so that several banks can be searched one after the other. With `skip`, rows whose image is
// the query's are left out. A row is no nearer than its floor, in the place of the scale in its tail (see
// lift.wgsl).
//
// LANES lanes work on one query, a subgroup (SUBGROUP) or a small workgroup: tiles and rows go round the
// lanes for the bounds, a row's values for the distance, so no lane waits for another query's longer list.
// Cost per lane: m / (2 TILE LANES) loads, K/4 per row looked at, d/2 / LANES per row measured; `finished`
// counts the rows measured to the end.
const LANES: u32 = 8u;
const TILE: u32 = 16u;
const K4: u32 = 7u;
// Vectors that a lane adds up before the sum is compared.
const STEPS: u32 = 5u;
// Tiles of a block that a lane looks at.
const PER: u32 = 32u / LANES;
// Share of the first tile's best distance (squared) up to which boxes go first.
const SHARE: f32 = 0.25;
const NONE: u32 = 0xffffffffu;

struct Params {
    q: u32, m: u32, d4: u32, quads: u32,
    skip: u32, query_image: u32, queries_per_image: u32,
    slack: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bank: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> boxes: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> lifted: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> info: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> best: array<vec2<u32>>;
@group(0) @binding(7) var<storage, read_write> finished: array<atomic<u32>>;
@group(0) @binding(8) var<uniform> p: Params;

//#if SUBGROUP
fn least(v: u32, lane: u32) -> u32 { return subgroupMin(v); }
fn total(v: f32, lane: u32) -> f32 { return subgroupAdd(v); }
fn joined(v: u32, lane: u32) -> u32 { return subgroupOr(v); }
//#else
var<workgroup> pool: array<u32, LANES>;
var<workgroup> result: u32;

fn least(v: u32, lane: u32) -> u32 {
    pool[lane] = v;
    workgroupBarrier();
    if (lane == 0u) {
        var low = pool[0];
        for (var i = 1u; i < LANES; i++) { low = min(low, pool[i]); }
        result = low;
    }
    return workgroupUniformLoad(&result);
}

fn total(v: f32, lane: u32) -> f32 {
    pool[lane] = bitcast<u32>(v);
    workgroupBarrier();
    if (lane == 0u) {
        var sum = 0.0;
        for (var i = 0u; i < LANES; i++) { sum += bitcast<f32>(pool[i]); }
        result = bitcast<u32>(sum);
    }
    return bitcast<f32>(workgroupUniformLoad(&result));
}

fn joined(v: u32, lane: u32) -> u32 {
    pool[lane] = v;
    workgroupBarrier();
    if (lane == 0u) {
        var bits = 0u;
        for (var i = 0u; i < LANES; i++) { bits |= pool[i]; }
        result = bits;
    }
    return workgroupUniformLoad(&result);
}
//#endif

var<private> own: array<vec4<f32>, K4>;

// No less than the floor; what is no number stays so.
fn floored(v: f32, low: f32) -> f32 { return select(v, low, v < low); }

// Bits of the largest bound that a row nearer than `distance` can have: bounds may be off by the rounding of
// their parts, which is measured by the lengths of the vectors, and a neighbour's is at most the query's and
// the distance.
fn reach(distance: f32) -> u32 {
    let far = sqrt(distance) + p.slack * (own[K4 - 1u].y + sqrt(distance));
    // No more than infinity, so that NaN does not let NONE pass, whatever its bits.
    return min(bitcast<u32>(far * far), 0x7f800000u);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let query = wid.x + wid.y * groups.x;
    if (query >= p.q) { return; }
    let image = p.query_image + query / p.queries_per_image;
    let values = query * p.d4;
    let base = query * p.quads;
    for (var k = 0u; k < K4; k++) { own[k] = lifted[query * K4 + k]; }
    let tail = own[K4 - 1u];
    // By way of all lanes, so that it is known to be the same for all.
    var distance = bitcast<f32>(least(best[query].x, lane));
    var number = least(best[query].y, lane);
    // Distances are never negative: their bits are in the order of their values.
    var need = reach(distance);
    var count = 0u;

    var low = NONE;
    var near = 0u;
    for (var t = lane; t < p.quads; t += LANES) {
        let v = boxes[base + t];
        for (var i = 0u; i < 4u; i++) {
            if (v[i] < low) {
                low = v[i];
                near = 4u * t + i;
            }
        }
    }
    let lowest = least(low, lane);
    let first = least(select(NONE, near, low == lowest), lane);

    // Blocks of 32 tiles, the first tile's own to begin with; blocks near in the tree have numbers that
    // differ in low bits.
    let blocks = (4u * p.quads + 31u) / 32u;
    let end = select(1u << (32u - countLeadingZeros(blocks - 1u)), 1u, blocks == 1u);
    var turn = 0u;
    // Boxes up to half as far as the first tile's best go first, then those beyond.
    var after = NONE;
    var until = 0u;
    var round = 0u;
    var block = first / 32u;
    var tiles = 1u << (first % 32u);
    var tile = 0u;
    var r0 = TILE;
    var bound = NONE;
    var over = false;
    loop {
        // The nearest of the rows at hand, or of the next rows that may be near enough.
        low = least(bound, lane);
        while (low > need && !over) {
            r0 += LANES;
            if (r0 >= TILE) {
                r0 = 0u;
                loop {
                    if (tiles == 0u) {
                        if (turn == end) {
                            turn = 0u;
                            round++;
                            if (round == 2u) {
                                over = true;
                                break;
                            }
                        }
                        if (turn == 0u) {
                            after = select(until, NONE, round == 0u);
                            until = select(NONE, bitcast<u32>(SHARE * bitcast<f32>(need)), round == 0u);
                        }
                        block = (first / 32u) ^ turn;
                        turn++;
                        var hits = 0u;
                        let t = 32u * block + PER * lane;
                        if (t < 4u * p.quads) {
                            let v = boxes[base + t / 4u];
                            for (var i = 0u; i < PER; i++) {
                                if (v[t % 4u + i] <= min(need, until) && (round == 0u || v[t % 4u + i] > after) && t + i != first) { hits |= 1u << (PER * lane + i); }
                            }
                        }
                        tiles = joined(hits, lane);
                    }
                    if (tiles != 0u) {
                        tile = 32u * block + firstTrailingBit(tiles);
                        tiles &= tiles - 1u;
                        // What was near enough when the block was read may no longer be.
                        if (boxes[base + tile / 4u][tile % 4u] <= need) { break; }
                    }
                }
            }
            let r = TILE * tile + r0 + lane;
            bound = NONE;
            if (!over && r < p.m) {
                var sum = 0.0;
                for (var k = 0u; k < K4 - 1u; k++) {
                    let v = own[k] - rows[r * K4 + k];
                    sum += dot(v, v);
                }
                let other = rows[r * K4 + K4 - 1u];
                let head = tail.x - other.x;
                let rest = max(max(tail.z - other.w, other.z - tail.w), 0.0);
                sum += head * head + rest * rest;
                if (p.skip == 0u || info[r].y != image) { bound = bitcast<u32>(floored(sum, other.y)); }
            }
            low = least(bound, lane);
        }
        if (low > need) { break; }

        let nearest = least(select(NONE, lane, bound == low), lane);
        if (lane == nearest) { bound = NONE; }
        let row = TILE * tile + r0 + nearest;
        var part = 0.0;
        var sum = 0.0;
        var k = 0u;
        loop {
            for (var s = 0u; s < STEPS; s++) {
                let at = k + s * LANES + lane;
                if (at < p.d4) {
                    let v = x[values + at] - bank[row * p.d4 + at];
                    part += dot(v, v);
                }
            }
            k += STEPS * LANES;
            sum = total(part, lane);
            if (k >= p.d4 || sum > distance) { break; }
        }
        count += select(0u, 1u, k >= p.d4);
        sum = floored(sum, rows[row * K4 + K4 - 1u].y);
        let found = info[row].x;
        if (sum < distance || (sum == distance && found < number)) {
            distance = sum;
            number = found;
            need = reach(sum);
        }
    }
    if (lane == 0u) {
        best[query] = vec2(bitcast<u32>(distance), number);
        atomicAdd(&finished[0], count);
    }
}
