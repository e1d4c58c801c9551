// Exact quantile of scores with linear interpolation, by radix selection on order-preserving keys
// (shared/score_key.wgsl).
// scores [len] -> threshold [1] = v[rank] + (v[rank + 1] - v[rank]) * t, with v the sorted scores. NaN counts
// as the largest.
//
// Four times, with the digit at bit SHIFT = 24, 16, 8, 0:
//   count: a workgroup adds up 256 bins of its share of the keys under the prefix, then adds them to the
//          state's bins
//   pick:  one invocation finds the digit that holds the rank, moves prefix and rank, clears the bins
// and last:
//   above: the smallest key above the one found
//   lerp:  one invocation interpolates
// Counts are whole numbers, so the result does not depend on any order. Cost: five reads of the scores.
const WORKGROUP: u32 = 256u;
const SHIFT: u32 = 24u;

struct Params {
    len: u32,
    rank: u32,
    t: f32,
}

struct State {
    bins: array<u32, 256>,
    // The digits of the key found so far, and the rank left among the keys that begin so.
    prefix: u32,
    rank: u32,
    // The smallest key above.
    next: u32,
}

// The same where many invocations count.
struct CountingState {
    bins: array<atomic<u32>, 256>,
    prefix: u32,
    rank: u32,
    next: atomic<u32>,
}

//#include shared/score_key.wgsl

@group(0) @binding(0) var<storage, read> scores: array<u32>;
@group(0) @binding(1) var<storage, read_write> counting: CountingState;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> bins: array<atomic<u32>, 256>;

@compute @workgroup_size(WORKGROUP)
fn count(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    atomicStore(&bins[me], 0u);
    workgroupBarrier();
    let prefix = counting.prefix;
    for (var i = wid.x * WORKGROUP + me; i < p.len; i += groups.x * WORKGROUP) {
        let key = score_key(scores[i]);
        // Two shifts, since one of 32 is none.
        if ((key >> SHIFT) >> 8u == (prefix >> SHIFT) >> 8u) { atomicAdd(&bins[(key >> SHIFT) & 255u], 1u); }
    }
    workgroupBarrier();
    let found = atomicLoad(&bins[me]);
    if (found > 0u) { atomicAdd(&counting.bins[me], found); }
}

@group(0) @binding(0) var<storage, read_write> state: State;
@group(0) @binding(1) var<uniform> p_pick: Params;

@compute @workgroup_size(1)
fn pick() {
    var rank = state.rank;
    if (SHIFT == 24u) { rank = p_pick.rank; }
    var digit = 255u;
    var found = false;
    for (var i = 0u; i < 256u; i++) {
        let keys = state.bins[i];
        state.bins[i] = 0u;
        if (!found) {
            if (rank < keys) {
                digit = i;
                found = true;
            } else {
                rank -= keys;
            }
        }
        if (found && i == digit && SHIFT == 0u) {
            // Whether the next score in order has the same key: then it is the next one too.
            state.next = select(0xffffffffu, state.prefix | digit, rank + 1u < keys);
        }
    }
    state.prefix |= digit << SHIFT;
    state.rank = rank;
}

var<workgroup> smallest: atomic<u32>;

@compute @workgroup_size(WORKGROUP)
fn above(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (me == 0u) { atomicStore(&smallest, 0xffffffffu); }
    workgroupBarrier();
    let here = counting.prefix;
    var least = 0xffffffffu;
    for (var i = wid.x * WORKGROUP + me; i < p.len; i += groups.x * WORKGROUP) {
        let key = score_key(scores[i]);
        if (key > here) { least = min(least, key); }
    }
    atomicMin(&smallest, least);
    workgroupBarrier();
    if (me == 0u) { atomicMin(&counting.next, atomicLoad(&smallest)); }
}

@group(0) @binding(0) var<storage, read> known: State;
@group(0) @binding(1) var<storage, read_write> threshold: array<f32>;

@compute @workgroup_size(1)
fn lerp() {
    let a = bitcast<f32>(key_bits(known.prefix));
    var value = a;
    if (p.t > 0.0) {
        // As NumPy does it: from the nearer end.
        let b = bitcast<f32>(key_bits(known.next));
        value = select(a + (b - a) * p.t, b - (b - a) * (1.0 - p.t), p.t >= 0.5);
    }
    threshold[0] = value;
}
