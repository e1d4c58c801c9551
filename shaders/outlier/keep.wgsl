// Indices of the scores that are not above a threshold, ascending, and their number. scores [len], threshold
// [1] -> kept [len], of which total [1] are written. A score of NaN, infinity or the largest float is never
// kept.
//
//   count:  starts[workgroup] = number kept among its scores
//   starts: one workgroup turns these into where each workgroup's indices begin, and writes total
//   list:   each workgroup adds up its invocations' numbers before it and writes the indices
// count, list: a workgroup owns 2048 consecutive scores, an invocation 8. Cost: two reads of the scores, 8
// steps of a scan per workgroup.
const WORKGROUP: u32 = 256u;
const EACH: u32 = 8u;

struct Params {
    len: u32,
    blocks: u32,
}

//#include shared/score_key.wgsl

var<workgroup> sums: array<u32, 512>;

// Sum of `mine` over the invocations up to and including this one.
fn sum_up(me: u32, mine: u32) -> u32 {
    sums[me] = mine;
    workgroupBarrier();
    var sum = mine;
    var side = 0u;
    for (var step = 1u; step < WORKGROUP; step *= 2u) {
        if (me >= step) { sum += sums[side + me - step]; }
        side = WORKGROUP - side;
        sums[side + me] = sum;
        workgroupBarrier();
    }
    return sum;
}

@group(0) @binding(0) var<storage, read> scores: array<u32>;
@group(0) @binding(1) var<storage, read> threshold: array<u32>;
@group(0) @binding(2) var<storage, read_write> starts_of: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

// Which of the scores first .. first + EACH are kept, a bit each.
fn keeps(first: u32, len: u32) -> u32 {
    let most = score_key(threshold[0]);
    var bits = 0u;
    for (var i = 0u; i < EACH; i++) {
        if (first + i < len) {
            let key = score_key(scores[first + i]);
            if (key <= most && key < ABSENT) { bits |= 1u << i; }
        }
    }
    return bits;
}

@compute @workgroup_size(WORKGROUP)
fn count(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let block = wid.x + wid.y * groups.x;
    var bits = 0u;
    if (block < p.blocks) { bits = keeps((block * WORKGROUP + me) * EACH, p.len); }
    let sum = sum_up(me, countOneBits(bits));
    if (me == WORKGROUP - 1u && block < p.blocks) { starts_of[block] = sum; }
}

@group(0) @binding(0) var<storage, read_write> numbers: array<u32>;
@group(0) @binding(1) var<storage, read_write> total: array<u32>;
@group(0) @binding(2) var<uniform> p_starts: Params;

@compute @workgroup_size(WORKGROUP)
fn starts(@builtin(local_invocation_index) me: u32) {
    let each = (p_starts.blocks + WORKGROUP - 1u) / WORKGROUP;
    let begin = min(me * each, p_starts.blocks);
    let end = min(begin + each, p_starts.blocks);
    var mine = 0u;
    for (var i = begin; i < end; i++) { mine += numbers[i]; }
    let sum = sum_up(me, mine);
    var start = sum - mine;
    for (var i = begin; i < end; i++) {
        let here = numbers[i];
        numbers[i] = start;
        start += here;
    }
    if (me == WORKGROUP - 1u) { total[0] = sum; }
}

@group(0) @binding(2) var<storage, read> known_starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> kept: array<u32>;
@group(0) @binding(4) var<uniform> p_list: Params;

@compute @workgroup_size(WORKGROUP)
fn list(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let block = wid.x + wid.y * groups.x;
    let first = (block * WORKGROUP + me) * EACH;
    var bits = 0u;
    if (block < p_list.blocks) { bits = keeps(first, p_list.len); }
    let mine = countOneBits(bits);
    let sum = sum_up(me, mine);
    if (block < p_list.blocks) {
        var to = known_starts[block] + sum - mine;
        for (var i = 0u; i < EACH; i++) {
            if ((bits & (1u << i)) != 0u) {
                kept[to] = first + i;
                to += 1u;
            }
        }
    }
}
