// One axis of the upsampled and blurred anomaly map. Bilinear upsampling and the Gaussian are linear and
// separable, so both together are a matrix A [out][in] an axis: map = A_rows * S * A_columns^T.
// X [batch][inner][in] -> C [batch][out][inner]: C[b][o][i] = sum over q of A[o][q] * X[b][i][q]: applied
// twice, it turns scores [h][w] into [out_w][h] and then [out_h][out_w]. A row of A is zero but for a few
// neighbours: `a` [out][taps] has those from `first` [out] on.
// An invocation owns one output. Cost: 2 * taps loads.

struct Params { batch: u32, inner: u32, in_len: u32, out_len: u32, taps: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> first: array<u32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let inner = id % p.inner;
    let o = id / p.inner % p.out_len;
    let image = id / (p.inner * p.out_len);
    if (image >= p.batch) { return; }
    var sum = 0.0;
    let origin = (image * p.inner + inner) * p.in_len + first[o];
    for (var t = 0u; t < p.taps; t++) { sum += a[o * p.taps + t] * x[origin + t]; }
    c[id] = sum;
}
