//! Maximum pooling.

use crate::reference::network::conv::input_pixel;
use crate::shapes::ConvShape;

/// Maximum over `kernel_h` x `kernel_h` windows of `x` `[batch][in_h][in_w][c]`: `[batch][out_h][out_w][c]`.
///
/// Padding never wins (it is minus infinity, PyTorch's `max_pool2d`).
pub fn max_pool(x: &[f32], shape: &ConvShape) -> Vec<f32> {
    let s = ConvShape { kernel_w: shape.kernel_h, ..*shape };
    let channels = s.in_c as usize;
    assert_eq!(s.in_c, s.out_c, "channels of {s:?}");
    assert_eq!(x.len(), s.input_len(), "x of {s:?}");
    let mut y = Vec::with_capacity(s.output_len());
    for n in 0..s.batch {
        for oy in 0..s.out_h {
            for ox in 0..s.out_w {
                for c in 0..channels {
                    let mut highest = f32::NEG_INFINITY;
                    for ky in 0..s.kernel_h {
                        for kx in 0..s.kernel_w {
                            if let Some(from) = input_pixel(&s, n, [oy, ox], [ky, kx]) {
                                highest = highest.max(x[from * channels + c]);
                            }
                        }
                    }
                    y.push(highest);
                }
            }
        }
    }
    y
}
