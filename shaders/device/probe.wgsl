// What an adapter can do at most, for the roofline.
//   copy:       C [n] = X [n], a vec4 per invocation. Cost: 32 bytes per item.
//   arithmetic: every invocation runs `p.rounds` times 16 chains a = a * x[0] + x[1] of four values, with F16
//               in f16, and leaves its sum in C [n]. The factors come from memory and the chains end in
//               memory, so that nothing can be left out or worked out beforehand. Cost: 128 floating-point
//               operations per round and invocation.
//#if F16
enable f16;
alias Four = vec4<f16>;
//#else
alias Four = vec4<f32>;
//#endif

struct Params { n: u32, rounds: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn copy(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let id = (wid.x + wid.y * groups.x) * 256u + me;
    if (id >= p.n) { return; }
    c[id] = x[id];
}

@compute @workgroup_size(256)
fn arithmetic(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let id = (wid.x + wid.y * groups.x) * 256u + me;
    if (id >= p.n) { return; }
    let f = Four(x[0]);
    let g = Four(x[1]);
    // Chains that start alike could be computed once.
    let start = Four(x[2]) * Four(vec4(f32(id % 7u)));
    var a0 = start;
    var a1 = start + f;
    var a2 = start - f;
    var a3 = start + g;
    var a4 = start - g;
    var a5 = start * f;
    var a6 = start * g;
    var a7 = start + f * g;
    for (var i = 0u; i < p.rounds; i++) {
        a0 = fma(a0, f, g);
        a1 = fma(a1, f, g);
        a2 = fma(a2, f, g);
        a3 = fma(a3, f, g);
        a4 = fma(a4, f, g);
        a5 = fma(a5, f, g);
        a6 = fma(a6, f, g);
        a7 = fma(a7, f, g);
        a0 = fma(a0, f, g);
        a1 = fma(a1, f, g);
        a2 = fma(a2, f, g);
        a3 = fma(a3, f, g);
        a4 = fma(a4, f, g);
        a5 = fma(a5, f, g);
        a6 = fma(a6, f, g);
        a7 = fma(a7, f, g);
    }
    c[id] = vec4<f32>(a0) + vec4<f32>(a1) + vec4<f32>(a2) + vec4<f32>(a3)
        + vec4<f32>(a4) + vec4<f32>(a5) + vec4<f32>(a6) + vec4<f32>(a7);
}
