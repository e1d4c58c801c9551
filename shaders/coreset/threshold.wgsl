// Finds the most bins, from the top, that hold at most `batch` patches together, and from them BITS and BEFORE; where the
// top bin alone holds more, asks for the next level. Empties the histogram for its next use.
// bins [65536], state. One workgroup.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read_write> bins: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> sums: array<u32, 256>;
var<workgroup> segment: u32;
var<workgroup> above: u32;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) me: u32) {
    let on = state[TOTAL] < p.picks && state[LEVEL] == p.level;
    var sum = 0u;
    if (on) {
        for (var i = 0u; i < 256u; i++) { sum += bins[256u * me + i]; }
    }
    sums[me] = sum;
    workgroupBarrier();
    if (me == 0u) {
        var total = 0u;
        var s = 256u;
        while (s > 0u && total + sums[s - 1u] <= p.batch) {
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
            while (b > 0u && total + sums[b - 1u] <= p.batch) {
                total += sums[b - 1u];
                b--;
            }
            bin = 256u * (s - 1u) + b;
        }
        let edge = state[EDGE];
        if (p.level == 3u) {
            state[BEFORE] = (65536u - bin) * p.batch;
            state[LEVEL] = 0u;
        } else if (total > 0u) {
            state[BITS] = select(edge << 15u | bin, bin << 15u, p.level == 1u);
            state[BEFORE] = 0xffffffffu;
            state[LEVEL] = 0u;
        } else {
            state[BITS] = edge << 15u | (bin - 1u);
            state[EDGE] = bin - 1u;
            state[LEVEL] = p.level + 1u;
        }
    }
}
