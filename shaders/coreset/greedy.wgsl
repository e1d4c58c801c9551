// Plain greedy among the candidates, for as long as the best of them comes before every other patch.
// candidates [batch] positions, distance [kept], mutual [batch][across] squared distances, kept [kept];
// picks [picks] row indices, chosen [batch] candidates in the order picked, state.
// One workgroup of 64; an invocation holds PER candidates in registers. Cost per pick: PER loads and three
// barriers.
const PER: u32 = 4u;

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> candidates: array<u32>;
@group(0) @binding(1) var<storage, read> distance: array<f32>;
@group(0) @binding(2) var<storage, read> mutual: array<f32>;
@group(0) @binding(3) var<storage, read> kept: array<u32>;
@group(0) @binding(4) var<storage, read_write> picks: array<u32>;
@group(0) @binding(5) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(6) var<storage, read_write> state: State;
@group(0) @binding(7) var<uniform> p: Params;

struct Best { value: f32, position: u32, slot: u32 }
var<workgroup> best: array<Best, 64>;
var<workgroup> go_on: u32;

// Greedy's order: larger distance, then smaller index.
fn first_of(a: Best, b: Best) -> Best {
    if (b.value > a.value || (b.value == a.value && b.position < a.position)) { return b; }
    return a;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) me: u32) {
    let count = min(p.batch, state.candidates);
    let total = state.picked;
    let least = state.least;
    let most = min(count, p.picks - min(total, p.picks));
    var value: array<f32, PER>;
    var position: array<u32, PER>;
    for (var i = 0u; i < PER; i++) {
        value[i] = -1.0;
        position[i] = 0xffffffffu;
        let slot = me + 64u * i;
        if (slot < count) {
            position[i] = candidates[slot];
            value[i] = distance[position[i]];
        }
    }
    var n = 0u;
    loop {
        var mine = Best(-1.0, 0xffffffffu, 0u);
        for (var i = 0u; i < PER; i++) { mine = first_of(mine, Best(value[i], position[i], me + 64u * i)); }
        best[me] = mine;
        workgroupBarrier();
        if (me < 8u) {
            for (var i = 1u; i < 8u; i++) { mine = first_of(mine, best[me + 8u * i]); }
            best[me] = mine;
        }
        workgroupBarrier();
        if (me == 0u) {
            for (var i = 1u; i < 8u; i++) { mine = first_of(mine, best[i]); }
            best[0] = mine;
            go_on = u32(n < most && mine.value >= 0.0 && bitcast<u32>(mine.value) >= least);
        }
        if (workgroupUniformLoad(&go_on) == 0u) { break; }
        let pick = best[0];
        // The next round writes best[] after this read.
        workgroupBarrier();
        if (me == 0u) {
            picks[total + n] = kept[pick.position];
            chosen[n] = pick.slot;
        }
        for (var i = 0u; i < PER; i++) {
            let slot = me + 64u * i;
            if (slot < count) { value[i] = min(value[i], mutual[pick.slot * p.across + slot]); }
            if (slot == pick.slot) { value[i] = -1.0; }
        }
        n++;
    }
    if (me == 0u) {
        state.first = total;
        state.count = n;
        state.picked = total + n;
        state.level = 1u;
        state.edge = 0u;
        state.candidates = 0u;
        state.clusters = 0u;
        state.tiles = 0u;
        state.batches += u32(n > 0u);
    }
}
