// Four values as they lie in memory: with F16 half as long, packed in two words, which every adapter can do and CPU drivers
// load and store with half as many instructions. Arithmetic is in f32 either way.
//#if F16
alias Stored = vec2<u32>;
const LOWEST: vec4<f32> = vec4(-65504.0);
fn wide(v: Stored) -> vec4<f32> { return vec4(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn stored(v: vec4<f32>) -> Stored { return vec2(pack2x16float(v.xy), pack2x16float(v.zw)); }
//#else
alias Stored = vec4<f32>;
const LOWEST: vec4<f32> = vec4(-3.4028235e38);
fn wide(v: Stored) -> vec4<f32> { return v; }
fn stored(v: vec4<f32>) -> Stored { return v; }
//#endif
