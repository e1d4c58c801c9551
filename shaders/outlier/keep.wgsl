// Indices of the scores that are not above a threshold, ascending, and their number. scores [len], threshold [1] ->
// kept [len], of which count [1] are written. A score of NaN, infinity or the largest float is never kept.
//
// A workgroup owns 2048 consecutive scores, an invocation 8. Three dispatches:
//   COUNT:  starts[workgroup] = number kept among its scores
//   SCAN:   one workgroup turns starts into where each workgroup's indices begin, and writes count
//   neither: each workgroup adds up its invocations' counts before it and writes the indices
// Cost: two reads of the scores, 8 steps of a scan a workgroup.
const WORKGROUP: u32 = 256u;
const EACH: u32 = 8u;

struct Params {
    len: u32,
    blocks: u32,
}

//#if SCAN
@group(0) @binding(0) var<storage, read_write> starts: array<u32>;
@group(0) @binding(1) var<storage, read_write> count: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;
//#else
//#include shared/score_key.wgsl

@group(0) @binding(0) var<storage, read> scores: array<u32>;
@group(0) @binding(1) var<storage, read> threshold: array<u32>;
@group(0) @binding(2) var<storage, read_write> starts: array<u32>;
//#if !COUNT
@group(0) @binding(3) var<storage, read_write> kept: array<u32>;
//#endif
//#if COUNT
@group(0) @binding(3) var<uniform> p: Params;
//#else
@group(0) @binding(4) var<uniform> p: Params;
//#endif
//#endif

var<workgroup> sums: array<u32, 512>;

// Sum of `mine` over the invocations up to and including this one; all of them end up in sums, half at `last`.
fn scan(me: u32, mine: u32) -> u32 {
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

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
//#if SCAN
    let each = (p.blocks + WORKGROUP - 1u) / WORKGROUP;
    let begin = min(me * each, p.blocks);
    let end = min(begin + each, p.blocks);
    var mine = 0u;
    for (var i = begin; i < end; i++) { mine += starts[i]; }
    let sum = scan(me, mine);
    var start = sum - mine;
    for (var i = begin; i < end; i++) {
        let here = starts[i];
        starts[i] = start;
        start += here;
    }
    if (me == WORKGROUP - 1u) { count[0] = sum; }
//#else
    let block = wid.x + wid.y * groups.x;
    let first = (block * WORKGROUP + me) * EACH;
    let most = score_key(threshold[0]);
    var keeps = 0u;
    if (block < p.blocks) {
        for (var i = 0u; i < EACH; i++) {
            if (first + i < p.len) {
                let key = score_key(scores[first + i]);
                if (key <= most && key < ABSENT) { keeps |= 1u << i; }
            }
        }
    }
    let mine = countOneBits(keeps);
    let sum = scan(me, mine);
//#if COUNT
    if (me == WORKGROUP - 1u && block < p.blocks) { starts[block] = sum; }
//#else
    if (block < p.blocks) {
        var to = starts[block] + sum - mine;
        for (var i = 0u; i < EACH; i++) {
            if ((keeps & (1u << i)) != 0u) {
                kept[to] = first + i;
                to += 1u;
            }
        }
    }
//#endif
//#endif
}
