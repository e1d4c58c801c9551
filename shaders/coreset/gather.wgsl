// Copies the rows of listed patches together. `level` patches, or where it is 0 as many as there are candidates.
// z [rows of the chunk][r4], kept [kept], list of positions, state, rows [listed][r4]; patches of other chunks are left.
// An invocation copies one vec4.

//#include shared/coreset.wgsl

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> kept: array<u32>;
@group(0) @binding(2) var<storage, read> list: array<u32>;
@group(0) @binding(3) var<storage, read> state: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * 64u + me;
    let row = i / p.r4;
    let count = min(p.batch, select(p.level, state[CANDIDATES], p.level == 0u));
    if (row >= count) { return; }
    let position = list[row];
    if (position < p.pos0 || position >= p.pos1) { return; }
    rows[i] = z[(kept[position] - p.row0) * p.r4 + i % p.r4];
}
