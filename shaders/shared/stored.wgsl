// Four values as they lie in memory: with F16 half as long. Arithmetic is in f32 either way.
//#if F16
enable f16;
alias Stored = vec4<f16>;
alias StoredScalar = f16;
const LOWEST: vec4<f32> = vec4(-65504.0);
//#else
alias Stored = vec4<f32>;
alias StoredScalar = f32;
const LOWEST: vec4<f32> = vec4(-3.4028235e38);
//#endif
