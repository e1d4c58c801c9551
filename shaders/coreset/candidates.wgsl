// The patches that are farthest from the picks so far, at most `batch` of them. Three levels of a histogram
// of 65 536 bins find the least distance of a candidate, `state.least`, and where that leaves too many, the
// first position that is none, `state.before`.
//   histogram: level 1: upper 16 bits of the unchosen patches' distances. Level 2: lower 15 bits of those in
//              bin `edge`.
//              Level 3: positions, first bin last, of those whose bits are `least`. Levels 2 and 3 run only
//                       where the
//              one before could not split its top bin.
//   threshold: the most bins, from the top, that hold at most `batch` patches together; where the top bin
//              alone holds more, asks for the next level. Empties the histogram for its next use.
//   collect:   lists the positions of the candidates, in any order (what follows breaks ties by position)
// distance [kept] bits (negative: chosen), bins [65536], candidates [batch], state.
// histogram, collect: workgroups walk the patches with the grid's stride, a load per patch. threshold: one
// workgroup.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> distance: array<u32>;
@group(0) @binding(1) var<storage, read> known: State;
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn histogram(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (known.picked >= p.picks || known.level != p.level) { return; }
    let edge = known.edge;
    let same = known.least;
    for (var i = wid.x * 64u + me; i < p.kept; i += groups.x * 64u) {
        let bits = distance[i];
        var bin = 65536u;
        if (p.level == 1u) {
            bin = bits >> 15u;
        } else if (p.level == 2u) {
            if (bits >> 15u == edge) { bin = bits & 0x7fffu; }
        } else if (bits == same) {
            bin = 65535u - i / p.batch;
        }
        if (bin < 65536u) { atomicAdd(&counts[bin], 1u); }
    }
}

@group(0) @binding(0) var<storage, read_write> bins: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: State;
@group(0) @binding(2) var<uniform> p_threshold: Params;

var<workgroup> sums: array<u32, 256>;
var<workgroup> segment: u32;
var<workgroup> above: u32;

@compute @workgroup_size(256)
fn threshold(@builtin(local_invocation_index) me: u32) {
    let level = p_threshold.level;
    let batch = p_threshold.batch;
    let on = state.picked < p_threshold.picks && state.level == level;
    var sum = 0u;
    if (on) {
        for (var i = 0u; i < 256u; i++) { sum += bins[256u * me + i]; }
    }
    sums[me] = sum;
    workgroupBarrier();
    if (me == 0u) {
        var total = 0u;
        var s = 256u;
        while (s > 0u && total + sums[s - 1u] <= batch) {
            total += sums[s - 1u];
            s--;
        }
        // All bins together fit: the segment below the first one.
        segment = s;
        above = total;
    }
    workgroupBarrier();
    let s = segment;
    var mine = 0u;
    if (on && s > 0u) { mine = bins[256u * (s - 1u) + me]; }
    workgroupBarrier();
    sums[me] = mine;
    workgroupBarrier();
    if (on) {
        for (var i = 0u; i < 256u; i++) { bins[256u * me + i] = 0u; }
    }
    if (me == 0u && on) {
        var total = above;
        var bin = 0u;
        if (s > 0u) {
            var b = 256u;
            while (b > 0u && total + sums[b - 1u] <= batch) {
                total += sums[b - 1u];
                b--;
            }
            bin = 256u * (s - 1u) + b;
        }
        let edge = state.edge;
        if (level == 3u) {
            state.before = (65536u - bin) * batch;
            state.level = 0u;
        } else if (total > 0u) {
            state.least = select(edge << 15u | bin, bin << 15u, level == 1u);
            state.before = 0xffffffffu;
            state.level = 0u;
        } else {
            state.least = edge << 15u | (bin - 1u);
            state.edge = bin - 1u;
            state.level = level + 1u;
        }
    }
}

@group(0) @binding(1) var<storage, read_write> candidates: array<u32>;
@group(0) @binding(2) var<storage, read_write> counting: CountingState;

@compute @workgroup_size(64)
fn collect(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (counting.picked >= p.picks) { return; }
    let least = counting.least;
    let end = min(p.kept, counting.before);
    for (var i = wid.x * 64u + me; i < end; i += groups.x * 64u) {
        let bits = distance[i];
        if (bits >= least && bits < 0x80000000u) {
            let slot = atomicAdd(&counting.candidates, 1u);
            if (slot < p.batch) { candidates[slot] = i; }
        }
    }
}
