// Values in textures, four a texel and 4096 texels a line. CPU drivers load a texel for all lanes together; a vec4 of a
// buffer they load lane by lane and word by word, in four times the instructions.
//#if TEXELS
//#if F16
alias Texels = texture_storage_2d<rgba16float, read>;
//#else
alias Texels = texture_storage_2d<rgba32float, read>;
//#endif
// Where texel i lies. naga's MSL cannot hand such a texture to a function.
fn texel(i: u32) -> vec2<u32> { return vec2(i % 4096u, i / 4096u); }
//#endif
