// Exact quantile of scores with linear interpolation, by radix selection on order-preserving keys (shared/score_key.wgsl).
// scores [len] -> threshold [1] = v[rank] + (v[rank + 1] - v[rank]) * t, with v the sorted scores. NaN counts as the largest.
//
// state: 256 bins, then the prefix of the key found so far, the rank left under it, the smallest key above, spare.
// Dispatches, five times with the digit at bit SHIFT = 24, 16, 8, 0:
//   COUNT: a workgroup adds up 256 bins of its share of the keys under the prefix, then adds them to the state's bins
//   PICK:  one workgroup finds the digit that holds the rank, moves prefix and rank, clears the bins
// and last:
//   ABOVE: the smallest key above the one found
//   LERP:  one invocation interpolates
// Counts are whole numbers, so the result does not depend on any order. Cost: five reads of the scores.
const WORKGROUP: u32 = 256u;
const SHIFT: u32 = 24u;

struct Params {
    len: u32,
    rank: u32,
    t: f32,
}

//#include shared/score_key.wgsl

const PREFIX: u32 = 256u;
const RANK: u32 = 257u;
const NEXT: u32 = 258u;

//#if COUNT
@group(0) @binding(0) var<storage, read> scores: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> bins: array<atomic<u32>, 256>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    atomicStore(&bins[me], 0u);
    workgroupBarrier();
    let prefix = atomicLoad(&state[PREFIX]);
    for (var i = wid.x * WORKGROUP + me; i < p.len; i += groups.x * WORKGROUP) {
        let key = score_key(scores[i]);
        // Two shifts, since one of 32 is none.
        if ((key >> SHIFT) >> 8u == (prefix >> SHIFT) >> 8u) { atomicAdd(&bins[(key >> SHIFT) & 255u], 1u); }
    }
    workgroupBarrier();
    let count = atomicLoad(&bins[me]);
    if (count > 0u) { atomicAdd(&state[me], count); }
}
//#endif
//#if PICK
@group(0) @binding(0) var<storage, read_write> state: array<u32>;
@group(0) @binding(1) var<uniform> p: Params;

@compute @workgroup_size(1)
fn main() {
    var rank = state[RANK];
    if (SHIFT == 24u) { rank = p.rank; }
    var digit = 255u;
    var found = false;
    for (var i = 0u; i < 256u; i++) {
        let count = state[i];
        state[i] = 0u;
        if (!found) {
            if (rank < count) {
                digit = i;
                found = true;
            } else {
                rank -= count;
            }
        }
        if (found && i == digit && SHIFT == 0u) {
            // Whether the next score in order has the same key: then it is the next one too.
            state[NEXT] = select(0xffffffffu, state[PREFIX] | digit, rank + 1u < count);
        }
    }
    state[PREFIX] |= digit << SHIFT;
    state[RANK] = rank;
}
//#endif
//#if ABOVE
@group(0) @binding(0) var<storage, read> scores: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> smallest: atomic<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (me == 0u) { atomicStore(&smallest, 0xffffffffu); }
    workgroupBarrier();
    let here = atomicLoad(&state[PREFIX]);
    var least = 0xffffffffu;
    for (var i = wid.x * WORKGROUP + me; i < p.len; i += groups.x * WORKGROUP) {
        let key = score_key(scores[i]);
        if (key > here) { least = min(least, key); }
    }
    atomicMin(&smallest, least);
    workgroupBarrier();
    if (me == 0u) { atomicMin(&state[NEXT], atomicLoad(&smallest)); }
}
//#endif
//#if LERP
@group(0) @binding(0) var<storage, read> state: array<u32>;
@group(0) @binding(1) var<storage, read_write> threshold: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(1)
fn main() {
    let a = bitcast<f32>(key_bits(state[PREFIX]));
    var value = a;
    if (p.t > 0.0) {
        // As NumPy does it: from the nearer end.
        let b = bitcast<f32>(key_bits(state[NEXT]));
        value = select(a + (b - a) * p.t, b - (b - a) * (1.0 - p.t), p.t >= 0.5);
    }
    threshold[0] = value;
}
//#endif
