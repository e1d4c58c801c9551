struct Params {
    // Rows of X, columns of C, vec4s per row of X (per pixel with CONV), vec4s per row of W.
    m: u32, n: u32, k4: u32, w_row4: u32,
    // The activation is a clamp to lo..hi. `residual`: 0 where there is none to add before it, else 1 more
    // than the vec4s in front of it.
    lo: f32, hi: f32, residual: u32, stride: u32,
    // With CONV: sizes in pixels.
    in_h: u32, in_w: u32, out_h: u32, out_w: u32,
    kernel_h: u32, kernel_w: u32, pad_top: u32, pad_left: u32,
}
