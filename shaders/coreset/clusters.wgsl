// Patches by their nearest pick, sorted for the update after a batch.
//   count:   radius and perhaps members of every cluster, of the patches pos0 .. pos1; patches at distance 0
//            cannot change and are left out
//   list:    the clusters that have a radius, in any order
//   offsets: where each cluster's members start in the sorted list: clusters are padded to tiles of eight,
//            and one that no new pick comes near enough to change is skipped. Sets state.tiles; zeroes
//            members for the next chunk.
//   scatter: sorted[slot] = position + 1 of the patches pos0 .. pos1 that may change; 0 pads a cluster's last
//            tile, the order within a cluster is of no account
// distance [kept], centre [kept], state, clusters [picks], open [picks], sorted [tiles][8].
// count, list, scatter: an invocation per patch or cluster, with the grid's stride; two loads and an atomic
// addition. offsets: one workgroup, an invocation owns a run of clusters.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> distance: array<f32>;
@group(0) @binding(1) var<storage, read> centre: array<u32>;
@group(0) @binding(2) var<storage, read> known: State;
@group(0) @binding(3) var<storage, read_write> counting: array<CountingCluster>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn count(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (known.count == 0u || known.picked >= p.picks) { return; }
    for (var i = p.pos0 + wid.x * 64u + me; i < p.pos1; i += groups.x * 64u) {
        let d = distance[i];
        if (d > 0.0) {
            let c = centre[i];
            atomicMax(&counting[c].radius, bitcast<u32>(d));
            if (p.members != 0u) { atomicAdd(&counting[c].members, 1u); }
        }
    }
}

@group(0) @binding(0) var<storage, read_write> clusters: array<Cluster>;
@group(0) @binding(1) var<storage, read_write> open: array<u32>;
@group(0) @binding(2) var<storage, read_write> counting_state: CountingState;

@compute @workgroup_size(64)
fn list(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (counting_state.count == 0u) { return; }
    let end = counting_state.first;
    for (var c = wid.x * 64u + me; c < end; c += groups.x * 64u) {
        if (clusters[c].radius != 0u) { open[atomicAdd(&counting_state.clusters, 1u)] = c; }
    }
}

@group(0) @binding(1) var<storage, read_write> state: State;

var<workgroup> sums: array<u32, 256>;

fn tiles(c: u32) -> u32 {
    let nearest = bitcast<f32>(NEAREST - clusters[c].closeness);
    let radius = bitcast<f32>(clusters[c].radius);
    // See update_direct.wgsl for the margin.
    if (nearest >= 4.004 * radius) { return 0u; }
    return (clusters[c].members + 7u) / 8u;
}

@compute @workgroup_size(256)
fn offsets(@builtin(local_invocation_index) me: u32) {
    let end = select(0u, state.first, state.count > 0u);
    let run = (end + 255u) / 256u;
    let start = min(end, me * run);
    let stop = min(end, start + run);
    var sum = 0u;
    for (var c = start; c < stop; c++) { sum += tiles(c); }
    sums[me] = sum;
    workgroupBarrier();
    if (me == 0u) {
        var total = 0u;
        for (var i = 0u; i < 256u; i++) {
            let s = sums[i];
            sums[i] = total;
            total += s;
        }
        state.tiles = total;
    }
    workgroupBarrier();
    var at = sums[me];
    for (var c = start; c < stop; c++) {
        let n = tiles(c);
        clusters[c].slot = select(8u * at, SKIPPED, n == 0u);
        clusters[c].members = 0u;
        at += n;
    }
}

@group(0) @binding(4) var<storage, read_write> sorted: array<u32>;
@group(0) @binding(5) var<uniform> p_scatter: Params;

@compute @workgroup_size(64)
fn scatter(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    if (known.tiles == 0u) { return; }
    for (var i = p_scatter.pos0 + wid.x * 64u + me; i < p_scatter.pos1; i += groups.x * 64u) {
        if (distance[i] > 0.0) {
            let c = centre[i];
            if (atomicLoad(&counting[c].slot) != SKIPPED) { sorted[atomicAdd(&counting[c].slot, 1u)] = i + 1u; }
        }
    }
}
