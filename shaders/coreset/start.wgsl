// Distance of every kept patch to a few rows: with MEAN the sum of the distances to ROWS rows (the patch where
// it is largest starts the coreset), else the squared distance to row 0 (the state after the first pick).
// z [rows of the chunk][r4], kept [kept] row indices, rows [ROWS][r4], distance [kept].
// An invocation owns a patch of the chunk. Cost: r4 * (1 + ROWS) vec4 loads.
const ROWS: u32 = 1u;

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> kept: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> distance: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let position = p.pos0 + (wid.x + wid.y * groups.x) * 64u + me;
    if (position >= p.pos1) { return; }
    let base = (kept[position] - p.row0) * p.r4;
    var acc: array<f32, ROWS>;
    for (var j = 0u; j < ROWS; j++) { acc[j] = 0.0; }
    for (var k = 0u; k < p.r4; k++) {
        let v = z[base + k];
        for (var j = 0u; j < ROWS; j++) { acc[j] = add_squares(acc[j], v - rows[j * p.r4 + k]); }
    }
//#if MEAN
    var sum = 0.0;
    for (var j = 0u; j < ROWS; j++) { sum += sqrt(acc[j]); }
    distance[position] = sum;
//#else
    distance[position] = acc[0];
//#endif
}
