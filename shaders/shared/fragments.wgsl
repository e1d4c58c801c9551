// Fragments of the tiles in workgroup memory. Addresses count vec4s; with EIGHT the memory is an array of scalars, since
// Metal loads fragments through pointers to scalars only.
//#if EIGHT
var<workgroup> xs: array<f16, 4u * TILE * PITCH>;
var<workgroup> ws: array<f16, 4u * TILE * PITCH>;
fn put_x(at: u32, v: Staged) {
    xs[4u * at] = v.x;
    xs[4u * at + 1u] = v.y;
    xs[4u * at + 2u] = v.z;
    xs[4u * at + 3u] = v.w;
}
fn put_w(at: u32, v: Staged) {
    ws[4u * at] = v.x;
    ws[4u * at + 1u] = v.y;
    ws[4u * at + 2u] = v.z;
    ws[4u * at + 3u] = v.w;
}
//#else
var<workgroup> xs: array<vec4<f16>, TILE * PITCH>;
var<workgroup> ws: array<vec4<f16>, TILE * PITCH>;
fn put_x(at: u32, v: Staged) { xs[at] = v; }
fn put_w(at: u32, v: Staged) { ws[at] = v; }
//#endif
// One fragment of sums for each subgroup, row by row.
var<workgroup> sums: array<f32, SUBGROUPS * SIDE * SIDE>;

//#if SOFT
// The same in ordinary registers, a whole fragment an invocation: for tests of the addressing on machines without
// cooperative matrices.
alias FragmentX = array<f32, SIDE * SIDE>;
alias FragmentW = array<f32, SIDE * SIDE>;
alias FragmentC = array<f32, SIDE * SIDE>;

fn fragment_x(at: u32) -> FragmentX {
    var f: FragmentX;
    for (var i = 0u; i < SIDE * SIDE; i++) {
        let k = i % SIDE;
//#if EIGHT
        f[i] = f32(xs[4u * (at + i / SIDE * PITCH) + k]);
//#else
        f[i] = f32(xs[at + i / SIDE * PITCH + k / 4u][k % 4u]);
//#endif
    }
    return f;
}

// W lies with a column of the product a row: element (k, j) of the fragment is at row j.
fn fragment_w(at: u32) -> FragmentW {
    var f: FragmentW;
    for (var i = 0u; i < SIDE * SIDE; i++) {
        let k = i % SIDE;
//#if EIGHT
        f[k * SIDE + i / SIDE] = f32(ws[4u * (at + i / SIDE * PITCH) + k]);
//#else
        f[k * SIDE + i / SIDE] = f32(ws[at + i / SIDE * PITCH + k / 4u][k % 4u]);
//#endif
    }
    return f;
}

fn multiply_add(a: FragmentX, b: FragmentW, sum: FragmentC) -> FragmentC {
    var x_ = a;
    var w_ = b;
    var f = sum;
    for (var i = 0u; i < SIDE * SIDE; i++) {
        for (var k = 0u; k < SIDE; k++) { f[i] += x_[i / SIDE * SIDE + k] * w_[k * SIDE + i % SIDE]; }
    }
    return f;
}

fn load_sum(base: u32) -> FragmentC {
    var f: FragmentC;
    for (var i = 0u; i < SIDE * SIDE; i++) { f[i] = sums[base + i]; }
    return f;
}

fn store_sum(base: u32, sum: FragmentC) {
    var f = sum;
    for (var i = 0u; i < SIDE * SIDE; i++) { sums[base + i] = f[i]; }
}
//#else
//#if EIGHT
alias FragmentX = coop_mat8x8<f16, A>;
alias FragmentW = coop_mat8x8<f16, B>;
alias FragmentC = coop_mat8x8<f32, C>;
const UNIT: u32 = 4u;
//#else
alias FragmentX = coop_mat16x16<f16, A>;
alias FragmentW = coop_mat16x16<f16, B>;
alias FragmentC = coop_mat16x16<f32, C>;
const UNIT: u32 = 1u;
//#endif

// Row by row; every address and stride is a `let` of its own, else naga 30 has not emitted it where it is used.
fn fragment_x(at: u32) -> FragmentX {
    let i = UNIT * at;
    let stride = UNIT * PITCH;
    return coopLoadT<FragmentX>(&xs[i], stride);
}

// W lies with a column of the product a row: column by column.
fn fragment_w(at: u32) -> FragmentW {
    let i = UNIT * at;
    let stride = UNIT * PITCH;
    return coopLoad<FragmentW>(&ws[i], stride);
}

fn multiply_add(a: FragmentX, b: FragmentW, sum: FragmentC) -> FragmentC {
    return coopMultiplyAdd(a, b, sum);
}

fn load_sum(base: u32) -> FragmentC {
    let stride = SIDE;
    return coopLoadT<FragmentC>(&sums[base], stride);
}

fn store_sum(base: u32, sum: FragmentC) {
    let stride = SIDE;
    coopStoreT(sum, &sums[base], stride);
}
//#endif
