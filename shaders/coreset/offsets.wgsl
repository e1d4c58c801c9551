// Where each cluster's members start in the sorted list: clusters are padded to tiles of eight, and one that no new pick
// comes near enough to change is skipped (SLOT = SKIPPED). Sets TILES; zeroes MEMBERS for the next chunk.
// clusters [picks][4], state. One workgroup; an invocation owns a run of clusters.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read_write> clusters: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;

var<workgroup> sums: array<u32, 256>;

fn tiles(c: u32) -> u32 {
    let nearest = bitcast<f32>(NEAREST - clusters[4u * c + CLOSENESS]);
    let radius = bitcast<f32>(clusters[4u * c + RADIUS]);
    // See coreset_update_direct.wgsl for the margin.
    if (nearest >= 4.004 * radius) { return 0u; }
    return (clusters[4u * c + MEMBERS] + 7u) / 8u;
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) me: u32) {
    let count = select(0u, state[FIRST], state[COUNT] > 0u);
    let run = (count + 255u) / 256u;
    let start = min(count, me * run);
    let end = min(count, start + run);
    var sum = 0u;
    for (var c = start; c < end; c++) { sum += tiles(c); }
    sums[me] = sum;
    workgroupBarrier();
    if (me == 0u) {
        var total = 0u;
        for (var i = 0u; i < 256u; i++) {
            let s = sums[i];
            sums[i] = total;
            total += s;
        }
        state[TILES] = total;
    }
    workgroupBarrier();
    var at = sums[me];
    for (var c = start; c < end; c++) {
        let n = tiles(c);
        clusters[4u * c + SLOT] = select(8u * at, SKIPPED, n == 0u);
        clusters[4u * c + MEMBERS] = 0u;
        at += n;
    }
}
