// Rows of X [..][c] to rows of C [..][c]: C[pairs[i].y] = X[pairs[i].x].
// An invocation moves 4 values. Cost: one vec4 load and store.

struct Params { pairs: u32, c4: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let pair = id / p.c4;
    if (pair >= p.pairs) { return; }
    c[pairs[pair].y * p.c4 + id % p.c4] = x[pairs[pair].x * p.c4 + id % p.c4];
}
