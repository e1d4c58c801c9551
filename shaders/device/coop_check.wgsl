// Whether subgroups of LANES invocations multiply fragments right, for adapters that offer a range of sizes:
// every subgroup of a workgroup of SUBGROUPS leaves X * W^T + X * W^T in C [SUBGROUPS][SIDE][SIDE], and every
// invocation says in SEATS [SUBGROUPS * LANES] how large its subgroup is, which one, and which lane of it:
// (size, subgroup, lane, 1). X, W [SIDE][SIDE]. One workgroup; its size and its fragments are those of
// gemm_coop.wgsl. It runs once or twice per device: what it costs is its compilation.
enable f16;
//#if !SOFT
enable wgpu_cooperative_matrix;
//#endif

// Set by the host.
const LANES: u32 = 32u;

const SUBGROUPS: u32 = 4u;

//#if EIGHT
const SIDE: u32 = 8u;
//#else
const SIDE: u32 = 16u;
//#endif
// One fragment is staged, its rows as dense as they can be.
const TILE: u32 = SIDE;
const PITCH: u32 = SIDE / 4u;
const STRIPE: u32 = SIDE;
alias Staged = vec4<f16>;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<storage, read_write> seats: array<vec4<u32>>;

//#include shared/fragments.wgsl

@compute @workgroup_size(SUBGROUPS * LANES)
fn main(
    @builtin(local_invocation_index) me: u32,
//#if !SOFT
    @builtin(subgroup_id) sg: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_size) size: u32,
//#endif
) {
//#if SOFT
    let sg = me / LANES;
    let lane = me % LANES;
    let size = LANES;
    own = lane;
//#endif
    for (var e = me; e < SIDE * PITCH; e += SUBGROUPS * LANES) {
        put_x(e, Staged(x[e]));
        put_w(e, Staged(w[e]));
    }
    seats[me] = vec4(size, sg, lane, 1u);
    // Where the subgroups are other than expected there may be more of them than fragments.
    let base = min(sg, SUBGROUPS - 1u) * SIDE * SIDE;
    for (var e = lane; e < SIDE * SIDE; e += size) { sums[base + e] = 0.0; }
    workgroupBarrier();
    let a = fragment_x(0u);
    let b = fragment_w(0u);
    let once = multiply_add(a, b, load_sum(base));
    store_sum(base, multiply_add(a, b, once));
    workgroupBarrier();
    for (var e = lane; e < SIDE * SIDE; e += size) { c[base + e] = sums[base + e]; }
}
