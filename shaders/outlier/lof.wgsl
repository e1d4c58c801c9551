// Local outlier factor (Breunig et al. 2000, with scikit-learn's constants) of every row within its group,
// from the lists of its k nearest other rows.
//   densities: density[x] = 1 / (mean over o of max(d_k(o), d(x, o)) + 1e-10)
//   factors:   scores[x]  = mean over o of density[o] / density[x], written image by image; 1 where there is
//              no other row
// distances, indices [groups][n][k], density [groups][n], scores [n][positions] at column p0 + group. A row
// that has no k neighbours at a finite distance gets density -1 and the largest float as its score.
// An invocation owns a row. Cost: k gathers of two words, then k of one.
const WORKGROUP: u32 = 64u;
const LARGEST: f32 = 3.40282347e38;

struct Params {
    groups: u32,
    n: u32,
    k: u32,
    positions: u32,
    p0: u32,
}

@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read> distances: array<f32>;
@group(0) @binding(2) var<storage, read_write> density: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn densities(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let x = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (x < p.groups * p.n) {
        let start = x / p.n * p.n;
        var sum = 0.0;
        for (var s = 0u; s < p.k; s++) {
            let reach_o = distances[(start + indices[x * p.k + s]) * p.k + p.k - 1u];
            // Halved, so that one missing neighbour (the largest float) does not make the sum infinite.
            sum += max(reach_o, distances[x * p.k + s]) * 0.5;
        }
        let mean = sum / f32(p.k) * 2.0;
        density[x] = -1.0;
        if (sum < 0.25 * LARGEST) { density[x] = 1.0 / (mean + 1e-10); }
    }
}

@group(0) @binding(1) var<storage, read> known: array<f32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn factors(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let x = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (x < p.groups * p.n) {
        let start = x / p.n * p.n;
        let own = known[x];
        var sum = 0.0;
        for (var s = 0u; s < p.k; s++) { sum += max(known[start + indices[x * p.k + s]], 0.0); }
        var score = 1.0;
        if (p.k > 0u) { score = select(LARGEST, sum / f32(p.k) / own, own > 0.0); }
        scores[x % p.n * p.positions + p.p0 + x / p.n] = score;
    }
}
