// Groups: the patches of all images at a grid position. R % 4 = 0.
//   gather: block[b][i] = the patch at position p0 + b of image i. z [rows][R] has patches row0 .. row0 + rows
//           of all [n][positions], which touch images first .. first + images; to [groups][n][R] gets
//           positions p0 .. p0 + groups of all n images, one call per chunk. An invocation copies one vec4,
//           consecutive ones along R.
//   centre: block[b][i] -= mean over i of block[b][i], in place. block [groups][n][R].
//   shift:  rows[b][i] -= mean over j of block[b][j]. block [groups][n][R], rows [groups][q][R].
// centre, shift: an invocation owns one vec4 column of one group. They work on differences to the block's
// first row: those are exact where the values sit far from 0 and close together, so that neither the sum nor
// the rounding of the mean costs digits. Cost: two sweeps of n loads and one of n stores per invocation; for
// shift n loads, q loads and stores.
const WORKGROUP: u32 = 64u;

struct Params {
    groups: u32,
    // Images, or rows of a group.
    n: u32,
    r4: u32,
    // gather: images of the chunk, the first of them among all, positions of an image, the first that is
    // copied, and the chunk's patches.
    images: u32,
    first: u32,
    positions: u32,
    p0: u32,
    row0: u32,
    rows: u32,
    // shift: rows per group that are shifted.
    q: u32,
}

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> to: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WORKGROUP)
fn gather(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (i < p.images * p.groups * p.r4) {
        let r = i % p.r4;
        let b = i / p.r4 % p.groups;
        let image = p.first + i / p.r4 / p.groups;
        // Unsigned wrap-around makes a patch before the chunk larger than any in it.
        let row = image * p.positions + p.p0 + b - p.row0;
        if (row < p.rows) { to[(b * p.n + image) * p.r4 + r] = z[row * p.r4 + r]; }
    }
}

@group(0) @binding(0) var<storage, read_write> block: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> p_centre: Params;

@compute @workgroup_size(WORKGROUP)
fn centre(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let n = p_centre.n;
    let r4 = p_centre.r4;
    let i = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (i < p_centre.groups * r4) {
        let start = i / r4 * n * r4 + i % r4;
        let origin = block[start];
        var sum = vec4(0.0);
        for (var row = 1u; row < n; row++) { sum += block[start + row * r4] - origin; }
        let mean = sum / f32(n);
        for (var row = 0u; row < n; row++) {
            let at = start + row * r4;
            block[at] = (block[at] - origin) - mean;
        }
    }
}

@group(0) @binding(0) var<storage, read> around: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> rows: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn shift(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let i = (wid.x + wid.y * groups.x) * WORKGROUP + me;
    if (i < p.groups * p.r4) {
        let group = i / p.r4;
        let start = group * p.n * p.r4 + i % p.r4;
        let origin = around[start];
        var sum = vec4(0.0);
        for (var row = 1u; row < p.n; row++) { sum += around[start + row * p.r4] - origin; }
        let mean = sum / f32(p.n);
        for (var row = 0u; row < p.q; row++) {
            let at = (group * p.q + row) * p.r4 + i % p.r4;
            rows[at] = (rows[at] - origin) - mean;
        }
    }
}
