// The first pick: the kept patch with the largest mean distance (ties: the smallest index); sets the state up.
// distance [kept], kept [kept], picks [picks], candidates [batch], chosen [batch], state.
// One workgroup reads all distances.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> distance: array<f32>;
@group(0) @binding(1) var<storage, read> kept: array<u32>;
@group(0) @binding(2) var<storage, read_write> picks: array<u32>;
@group(0) @binding(3) var<storage, read_write> candidates: array<u32>;
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(5) var<storage, read_write> state: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

var<workgroup> best_value: array<f32, 256>;
var<workgroup> best_at: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) me: u32) {
    var value = -1.0;
    var at = 0u;
    for (var i = me; i < p.kept; i += 256u) {
        let v = distance[i];
        if (v > value) { value = v; at = i; }
    }
    best_value[me] = value;
    best_at[me] = at;
    workgroupBarrier();
    if (me == 0u) {
        for (var i = 1u; i < 256u; i++) {
            let v = best_value[i];
            if (v > value || (v == value && best_at[i] < at)) { value = v; at = best_at[i]; }
        }
        picks[0] = kept[at];
        candidates[0] = at;
        chosen[0] = 0u;
        for (var i = 0u; i < 16u; i++) { state[i] = 0u; }
        state[TOTAL] = 1u;
        state[COUNT] = 1u;
        state[LEVEL] = 1u;
    }
}
