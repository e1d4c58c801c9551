// Shortens rows for the two-stage search: R coordinates of the centred row in an orthonormal basis, the norm of what is left,
// and zeros up to a multiple of 4. largest[0] takes the largest squared norm of a centred row (bits).
// x [rows][d4], basis [R][d4], mean [d4]; short [rows][R / 4 + 1], largest.
// An invocation owns a row. Cost: 2 d4 (R + 1) vec4 loads.
const R: u32 = 28u;

//#include shared/neighbor.wgsl

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> basis: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> mean: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> short: array<f32>;
@group(0) @binding(4) var<storage, read_write> largest: array<atomic<u32>>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let row = (wid.x + wid.y * groups.x) * 64u + me;
    if (row >= p.rows) { return; }
    var acc: array<f32, R>;
    for (var i = 0u; i < R; i++) { acc[i] = 0.0; }
    var norm = 0.0;
    for (var k = 0u; k < p.d4; k++) {
        let v = x[row * p.d4 + k] - mean[k];
        norm = add_squares(norm, v);
        for (var i = 0u; i < R; i++) { acc[i] += dot(v, basis[i * p.d4 + k]); }
    }
    // The rest itself, not the difference of squared norms, which would cancel.
    var rest = 0.0;
    for (var k = 0u; k < p.d4; k++) {
        var v = x[row * p.d4 + k] - mean[k];
        for (var i = 0u; i < R; i++) { v -= acc[i] * basis[i * p.d4 + k]; }
        rest = add_squares(rest, v);
    }
    let to = row * (R + 4u);
    for (var i = 0u; i < R; i++) { short[to + i] = acc[i]; }
    short[to + R] = sqrt(rest);
    for (var i = R + 1u; i < R + 4u; i++) { short[to + i] = 0.0; }
    atomicMax(&largest[0], bitcast<u32>(norm));
}
