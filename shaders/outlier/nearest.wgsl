// Outlier score by nearest neighbour: scores[x] = distance to the nearest other row of the group + 1, and 1
// where there is no other. distances [groups][n][k] ascending (k = 0: no other row) -> scores [n][positions]
// at column p0 + group.
//
// An invocation writes one score. Cost: one load, one store.
const WORKGROUP: u32 = 64u;

struct Params {
    groups: u32,
    n: u32,
    k: u32,
    positions: u32,
    p0: u32,
}

@group(0) @binding(0) var<storage, read> distances: array<f32>;
@group(0) @binding(1) var<storage, read_write> scores: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let x = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (x < p.groups * p.n) {
        var score = 1.0;
        if (p.k > 0u) { score += distances[x * p.k]; }
        scores[x % p.n * p.positions + p.p0 + x / p.n] = score;
    }
}
