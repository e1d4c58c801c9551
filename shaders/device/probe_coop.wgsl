// What an adapter's cooperative matrices can do at most, for the roofline: every subgroup multiplies the same
// two fragments `p.rounds` times into each of 8 sums, which it leaves in C [groups *
// SUBGROUPS][8][SIDE][SIDE]. The fragments come from memory: X [SIDE][SIDE] is the left one and, column by
// column, the right one. Cost: 16 SIDE^3 floating-point operations a round and subgroup.
enable f16;
enable wgpu_cooperative_matrix;

// Set by the host.
const LANES: u32 = 32u;

//#if EIGHT
const SIDE: u32 = 8u;
//#else
const SIDE: u32 = 16u;
//#endif
const SUBGROUPS: u32 = 4u;
// One fragment is staged, its rows as dense as they can be.
const TILE: u32 = SIDE;
const PITCH: u32 = SIDE / 4u;
const STRIPE: u32 = SIDE;
alias Staged = vec4<f16>;

struct Params { n: u32, rounds: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> c: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

//#include shared/fragments.wgsl

@compute @workgroup_size(SUBGROUPS * LANES)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
    @builtin(subgroup_id) sg: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    for (var e = me; e < SIDE * PITCH; e += SUBGROUPS * LANES) {
        put_x(e, Staged(x[e]));
        put_w(e, Staged(x[e]));
    }
    let base = sg * SIDE * SIDE;
    for (var e = lane; e < SIDE * SIDE; e += LANES) { sums[base + e] = f32(e + sg); }
    workgroupBarrier();
    let a = fragment_x(0u);
    let b = fragment_w(0u);
    var c0 = load_sum(base);
    var c1 = multiply_add(a, b, c0);
    var c2 = multiply_add(a, b, c1);
    var c3 = multiply_add(a, b, c2);
    var c4 = multiply_add(a, b, c3);
    var c5 = multiply_add(a, b, c4);
    var c6 = multiply_add(a, b, c5);
    var c7 = multiply_add(a, b, c6);
    for (var i = 0u; i < p.rounds; i++) {
        c0 = multiply_add(a, b, c0);
        c1 = multiply_add(a, b, c1);
        c2 = multiply_add(a, b, c2);
        c3 = multiply_add(a, b, c3);
        c4 = multiply_add(a, b, c4);
        c5 = multiply_add(a, b, c5);
        c6 = multiply_add(a, b, c6);
        c7 = multiply_add(a, b, c7);
    }
    let to = (wid.x * SUBGROUPS + sg) * 8u * SIDE * SIDE;
    let size = SIDE * SIDE;
    leave(c0, to);
    leave(c1, to + size);
    leave(c2, to + 2u * size);
    leave(c3, to + 3u * size);
    leave(c4, to + 4u * size);
    leave(c5, to + 5u * size);
    leave(c6, to + 6u * size);
    leave(c7, to + 7u * size);
}

fn leave(sum: FragmentC, to: u32) {
    let stride = SIDE;
    coopStoreT(sum, &c[to], stride);
}
