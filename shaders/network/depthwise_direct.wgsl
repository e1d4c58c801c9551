// C = clamp(depthwise convolution(X, W) + bias, lo, hi) for CPU drivers; layouts as in depthwise.wgsl.
// With F16, X, W and C are stored as f16. A word has one channel, with F16 or INT64 two; four are more than
// registers hold.
//
// An invocation owns a word's channels of TX neighbouring columns and `rows` rows, and goes down the rows of
// X: each adds to the rows of C that it touches, DEPTH at most, whose sums stay in registers; the oldest is
// finished every S rows. These drivers pay for every word that is loaded or stored, and little for
// arithmetic. Neighbouring invocations take neighbouring words. Cost: about ((TX - 1) S + K) (rows S + K - S)
// + K^2 loads for TX rows K^2 multiply-adds of each channel.
//#if F16
alias Stored = u32;
alias Values = vec2<f32>;
fn wide(v: Stored) -> Values { return unpack2x16float(v); }
fn stored(v: Values) -> Stored { return pack2x16float(v); }
//#else
//#if INT64
alias Stored = u64;
alias Values = vec2<f32>;
fn wide(v: Stored) -> Values { return bitcast<vec2<f32>>(vec2(u32(v), u32(v >> 32u))); }
fn stored(v: Values) -> Stored {
    let bits = bitcast<vec2<u32>>(v);
    return u64(bits.x) | (u64(bits.y) << 32u);
}
//#else
alias Stored = f32;
alias Values = f32;
fn wide(v: Stored) -> Values { return v; }
fn stored(v: Values) -> Stored { return v; }
//#endif
//#endif
//#include shared/texels.wgsl
const K: u32 = 3u;
const S: u32 = 1u;
const TX: u32 = 4u;
const COLUMNS: u32 = (TX - 1u) * S + K;
const DEPTH: u32 = (K + S - 1u) / S;

struct Params {
    batch: u32, words: u32, in_h: u32, in_w: u32,
    out_h: u32, out_w: u32, pad_top: u32, pad_left: u32,
    rows: u32, lo: f32, hi: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
//#if TEXELS
@group(0) @binding(1) var w: Texels;
// Beside words of 64 bits alone.
fn w_at(i: u32) -> Values { let v = textureLoad(w, texel(i / 2u)); return select(v.xy, v.zw, i % 2u == 1u); }
//#else
@group(0) @binding(1) var<storage, read> w: array<Stored>;
fn w_at(i: u32) -> Values { return wide(w[i]); }
//#endif
@group(0) @binding(2) var<storage, read> bias: array<Values>;
@group(0) @binding(3) var<storage, read_write> c: array<Stored>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) me: u32,
) {
    let across = (p.out_w + TX - 1u) / TX;
    let down = (p.out_h + p.rows - 1u) / p.rows;
    let id = (wid.x + wid.y * groups.x) * 64u + me;
    let word = id % p.words;
    let tile = id / p.words;
    let image = tile / (across * down);
    if (image >= p.batch) { return; }
    let ox = tile % across * TX;
    let oy = tile / across % down * p.rows;
    let b = bias[word];
    var taps: array<Values, K * K>;
    for (var i = 0u; i < K * K; i++) { taps[i] = w_at(i * p.words + word); }
    // Row 0 is the youngest.
    var sums: array<array<Values, TX>, DEPTH>;
    for (var m = 0u; m < DEPTH; m++) {
        for (var t = 0u; t < TX; t++) { sums[m][t] = b; }
    }
    // The last run may be shorter.
    let steps = min(p.rows, p.out_h - oy) + DEPTH - 1u;
    for (var step = 0u; step < steps; step++) {
        for (var phase = 0u; phase < S; phase++) {
            // Unsigned wrap-around makes a negative coordinate larger than any size.
            let iy = (oy + step) * S + phase - p.pad_top;
            let base = (image * p.in_h + min(iy, p.in_h - 1u)) * p.in_w;
            var line: array<Values, COLUMNS>;
            for (var i = 0u; i < COLUMNS; i++) {
                let ix = ox * S + i - p.pad_left;
                let inside = ix < p.in_w && iy < p.in_h;
                let v = wide(x[(base + min(ix, p.in_w - 1u)) * p.words + word]);
                line[i] = select(Values(0.0), v, inside);
            }
            for (var m = 0u; m < DEPTH; m++) {
                let ky = m * S + phase;
                if (ky < K) {
                    for (var kx = 0u; kx < K; kx++) {
                        let tap = taps[ky * K + kx];
                        for (var t = 0u; t < TX; t++) { sums[m][t] += line[t * S + kx] * tap; }
                    }
                }
            }
        }
        if (step >= DEPTH - 1u) {
            let row = oy + step - (DEPTH - 1u);
            for (var t = 0u; t < TX; t++) {
                if (ox + t < p.out_w) {
                    c[((image * p.out_h + row) * p.out_w + ox + t) * p.words + word] =
                        stored(clamp(sums[DEPTH - 1u][t], Values(p.lo), Values(p.hi)));
                }
            }
        }
        for (var m = DEPTH - 1u; m > 0u; m--) { sums[m] = sums[m - 1u]; }
        for (var t = 0u; t < TX; t++) { sums[0][t] = b; }
    }
}
