// Fragments of the tiles in workgroup memory. Addresses count vec4s; with EIGHT the memory is an array of
// scalars, since Metal loads fragments through pointers to scalars only.
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
// Sums for each subgroup, row by row: SIDE rows of STRIPE.
var<workgroup> sums: array<f32, SUBGROUPS * SIDE * STRIPE>;

//#if SOFT
// The same in ordinary registers, for tests of the addressing on machines without cooperative matrices: an
// operand is its address, a lane owns PER neighbouring sums.
alias FragmentX = u32;
alias FragmentW = u32;
const PER: u32 = SIDE * SIDE / LANES;
alias FragmentC = array<f32, PER>;
var<private> own: u32;

fn fragment_x(at: u32) -> FragmentX { return at; }
fn fragment_w(at: u32) -> FragmentW { return at; }

//#if EIGHT
fn x_at(at: u32, k: u32) -> f32 { return f32(xs[4u * at + k]); }
fn w_at(at: u32, k: u32) -> f32 { return f32(ws[4u * at + k]); }
//#else
fn x_at(at: u32, k: u32) -> f32 { return f32(xs[at + k / 4u][k % 4u]); }
fn w_at(at: u32, k: u32) -> f32 { return f32(ws[at + k / 4u][k % 4u]); }
//#endif

fn multiply_add(a: FragmentX, b: FragmentW, sum: FragmentC) -> FragmentC {
    var f = sum;
    // Never more than SIDE, which the driver cannot know: unrolled, the loops take it ten times as long to
    // compile.
    let depth = SIDE + own / LANES;
    for (var j = 0u; j < PER; j++) {
        let e = own * PER + j;
        // Column e % SIDE of the product is a row of W.
        for (var k = 0u; k < depth; k++) { f[j] += x_at(a + e / SIDE * PITCH, k) * w_at(b + e % SIDE * PITCH, k); }
    }
    return f;
}

// Where number `e` of a fragment lies among the sums.
fn place(e: u32) -> u32 { return e / SIDE * STRIPE + e % SIDE; }

fn load_sum(at: u32) -> FragmentC {
    var f: FragmentC;
    for (var j = 0u; j < PER; j++) { f[j] = sums[at + place(own * PER + j)]; }
    return f;
}

fn store_sum(at: u32, sum: FragmentC) {
    var f = sum;
    for (var j = 0u; j < PER; j++) { sums[at + place(own * PER + j)] = f[j]; }
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

// Row by row; every address and stride is a `let` of its own, else naga 30 has not emitted it where it is
// used.
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

fn load_sum(at: u32) -> FragmentC {
    let stride = STRIPE;
    return coopLoadT<FragmentC>(&sums[at], stride);
}

fn store_sum(at: u32, sum: FragmentC) {
    let stride = STRIPE;
    coopStoreT(sum, &sums[at], stride);
}
//#endif
