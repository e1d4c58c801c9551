// Four values as they lie in memory, loaded with `wide` and stored with `stored`. F16: half as long, two
// values in 32 bits, which every adapter can pack. INT64: in words of 64 bits, since CPU drivers pay by the
// word. Arithmetic is in f32 either way.
//#if F16
const LOWEST: vec4<f32> = vec4(-65504.0);
//#if INT64
alias Stored = u64;
fn wide(v: Stored) -> vec4<f32> { return vec4(unpack2x16float(u32(v)), unpack2x16float(u32(v >> 32u))); }
fn stored(v: vec4<f32>) -> Stored { return u64(pack2x16float(v.xy)) | (u64(pack2x16float(v.zw)) << 32u); }
//#else
alias Stored = vec2<u32>;
fn wide(v: Stored) -> vec4<f32> { return vec4(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn stored(v: vec4<f32>) -> Stored { return vec2(pack2x16float(v.xy), pack2x16float(v.zw)); }
//#endif
//#else
const LOWEST: vec4<f32> = vec4(-3.4028235e38);
//#if INT64
alias Stored = vec2<u64>;
fn wide(v: Stored) -> vec4<f32> {
    let low = vec2<u32>(v);
    let high = vec2<u32>(v >> vec2(32u));
    return bitcast<vec4<f32>>(vec4(low.x, high.x, low.y, high.y));
}
fn stored(v: vec4<f32>) -> Stored {
    let bits = bitcast<vec4<u32>>(v);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2(32u));
}
//#else
alias Stored = vec4<f32>;
fn wide(v: Stored) -> vec4<f32> { return v; }
fn stored(v: vec4<f32>) -> Stored { return v; }
//#endif
//#endif
