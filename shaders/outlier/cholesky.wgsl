// Cholesky factors of many symmetric matrices, in place: m [groups][R][R], lower triangle read -> lower
// triangle of L with m = L L^T, the diagonal as reciprocals; what lies above is not defined. R % 4 = 0.
//
// A workgroup owns one matrix and works in global memory, 8 columns at a time (left-looking): an invocation a
// row subtracts the product with the columns already known; the 8 x 8 diagonal block goes through workgroup
// memory (256 bytes) and is factored by every invocation for itself; each row is then solved against it in
// registers. With SUBGROUP (CPU drivers, subgroups of exactly 8, workgroup of 8) rows that all lanes need are
// handed round by broadcast. Two barriers per step. Cost: R^3/6 multiply-adds per matrix.
//
// In exact arithmetic no pivot is below the smallest eigenvalue, which is at least FLOOR by the term added to
// the diagonal: a pivot that rounding took lower is lifted to it.
const WORKGROUP: u32 = 64u;
const FLOOR: f32 = 0.01;

struct Params {
    r4: u32,
}

//#include shared/forward8.wgsl

@group(0) @binding(0) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> p: Params;

var<workgroup> corner: array<vec4<f32>, 16>;

// Start of a row of the group's matrix; past the end the last one, whose products are not used.
fn row_of(group: u32, row: u32) -> u32 {
    return (group * 4u * p.r4 + min(row, 4u * p.r4 - 1u)) * p.r4;
}

// Columns c0 .. c0 + 7 of a row, less the product with the columns before them.
fn reduced(group: u32, row: u32, c0: u32, me: u32) -> Eight {
    let c4 = c0 / 4u;
    let at = row_of(group, row);
    var acc = Eight(m[at + c4], vec4(0.0));
    if (c4 + 1u < p.r4) { acc.hi = m[at + c4 + 1u]; }
//#if SUBGROUP
    let mine = row_of(group, c0 + me);
//#endif
    for (var k = 0u; k < c4; k++) {
        let v = m[at + k];
//#if SUBGROUP
        let lv = m[mine + k];
        acc.lo.x -= dot(v, subgroupBroadcast(lv, 0u));
        acc.lo.y -= dot(v, subgroupBroadcast(lv, 1u));
        acc.lo.z -= dot(v, subgroupBroadcast(lv, 2u));
        acc.lo.w -= dot(v, subgroupBroadcast(lv, 3u));
        acc.hi.x -= dot(v, subgroupBroadcast(lv, 4u));
        acc.hi.y -= dot(v, subgroupBroadcast(lv, 5u));
        acc.hi.z -= dot(v, subgroupBroadcast(lv, 6u));
        acc.hi.w -= dot(v, subgroupBroadcast(lv, 7u));
//#else
        acc.lo.x -= dot(v, m[row_of(group, c0 + 0u) + k]);
        acc.lo.y -= dot(v, m[row_of(group, c0 + 1u) + k]);
        acc.lo.z -= dot(v, m[row_of(group, c0 + 2u) + k]);
        acc.lo.w -= dot(v, m[row_of(group, c0 + 3u) + k]);
        acc.hi.x -= dot(v, m[row_of(group, c0 + 4u) + k]);
        acc.hi.y -= dot(v, m[row_of(group, c0 + 5u) + k]);
        acc.hi.z -= dot(v, m[row_of(group, c0 + 6u) + k]);
        acc.hi.w -= dot(v, m[row_of(group, c0 + 7u) + k]);
//#endif
    }
    return acc;
}

fn store(group: u32, row: u32, c0: u32, v: Eight) {
    let at = row_of(group, row) + c0 / 4u;
    m[at] = v.lo;
    if (c0 / 4u + 1u < p.r4) { m[at + 1u] = v.hi; }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) me: u32) {
    let group = wid.x;
    let r = 4u * p.r4;
    for (var c0 = 0u; c0 < r; c0 += 8u) {
        let diagonal = reduced(group, c0 + min(me, 7u), c0, me);
        if (me < 8u) {
            corner[2u * me] = diagonal.lo;
            corner[2u * me + 1u] = diagonal.hi;
        }
        workgroupBarrier();
        var t: Triangle;
        for (var i = 0u; i < 8u; i++) {
            t.lo[i] = vec4(0.0);
            t.hi[i] = vec4(0.0);
        }
        for (var i = 0u; i < 8u; i++) {
            // The rows so far solve this one; its own pivot is what is left of its diagonal entry.
            let v = Eight(corner[2u * i], corner[2u * i + 1u]);
            let y = forward8(t, v);
            for (var j = 0u; j < 4u; j++) {
                if (j < i) { t.lo[i][j] = y.lo[j]; }
                if (j + 4u < i) { t.hi[i][j] = y.hi[j]; }
            }
            let rest = dot(t.lo[i], t.lo[i]) + dot(t.hi[i], t.hi[i]);
            for (var j = 0u; j < 4u; j++) {
                if (j == i) { t.lo[i][j] = 1.0 / sqrt(max(v.lo[j] - rest, FLOOR)); }
                if (j + 4u == i) { t.hi[i][j] = 1.0 / sqrt(max(v.hi[j] - rest, FLOOR)); }
            }
        }
        for (var row0 = c0 + 8u; row0 < r; row0 += WORKGROUP) {
            let row = row0 + me;
            let y = forward8(t, reduced(group, row, c0, me));
            if (row < r) { store(group, row, c0, y); }
        }
        for (var i = 0u; i < 8u; i++) {
            if (me == i && c0 + i < r) { store(group, c0 + i, c0, Eight(t.lo[i], t.hi[i])); }
        }
        storageBarrier();
        workgroupBarrier();
    }
}
