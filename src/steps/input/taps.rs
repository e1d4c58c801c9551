//! Coefficients of the antialiased bilinear resize: docs/method.md, section 1.
//!
//! Source: Pillow's `Image.resize(..., BILINEAR)` for 8-bit images (two passes, rows first, rounded to 8 bit
//! after each; coefficients with 22 fractional bits) and torchvision's `Resize(int)` + `CenterCrop(int)` for
//! the geometry. Results are bit-equal to those two up to Pillow 12; Pillow 13 filters columns first where an
//! image shrinks much more in height than in width, which moves some pixels of tall images by one level.

/// Fractional bits of the coefficients: 32 less 8 of the value and 2 of headroom.
pub const PRECISION_BITS: u32 = 22;

/// The taps of one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeTable {
    /// `[out]`: first input index of each output.
    pub start: Vec<u32>,
    /// `[out]`: number of inputs that each output is made of, at most `taps`.
    pub count: Vec<u32>,
    /// Coefficients kept for each output.
    pub taps: usize,
    /// `[out][taps]`, 22 fractional bits; 0 past `count`.
    pub coefficients: Vec<i32>,
}

/// Taps that bring `input` values to `output` with a triangle filter whose support grows with the scale.
///
/// Both sizes must be positive.
pub fn resize_table(input: u32, output: u32) -> ResizeTable {
    assert!(input > 0 && output > 0, "resize from {input} to {output}: sizes must be positive");
    let scale = f64::from(input) / f64::from(output);
    // The triangle reaches 1 to either side; stretched when shrinking, so that every input counts.
    let support = scale.max(1.0);
    let taps = support.ceil() as usize * 2 + 1;
    let mut table = ResizeTable {
        start: Vec::with_capacity(output as usize),
        count: Vec::with_capacity(output as usize),
        taps,
        coefficients: vec![0; output as usize * taps],
    };
    for o in 0..output {
        let center = (f64::from(o) + 0.5) * scale;
        // Conversions truncate towards zero, as C's do.
        let start = ((center - support + 0.5) as i64).max(0);
        let end = ((center + support + 0.5) as i64).min(i64::from(input));
        let inverse = 1.0 / support;
        let weights: Vec<f64> = (start..end).map(|x| triangle((x as f64 - center + 0.5) * inverse)).collect();
        let sum: f64 = weights.iter().sum();
        let row = &mut table.coefficients[o as usize * taps..][..taps];
        for (to, weight) in row.iter_mut().zip(&weights) {
            let weight = if sum == 0.0 { *weight } else { weight / sum };
            *to = (0.5 + weight * f64::from(1 << PRECISION_BITS)) as i32;
        }
        table.start.push(start as u32);
        table.count.push(weights.len() as u32);
    }
    table
}

/// Which outputs of `table` the pixels of a frame side show whose first is output `first`: beside the
/// picture, its border.
pub fn frame_outputs(table: &ResizeTable, first: i64, frame: u32) -> Vec<usize> {
    let last = table.start.len() as i64 - 1;
    (0..i64::from(frame)).map(|i| (first + i).clamp(0, last) as usize).collect()
}

/// `1 - |x|` within 1 of the origin, else 0.
fn triangle(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_table_add_up_to_one() {
        for (input, output) in [(1, 1), (1, 7), (7, 1), (1024, 256), (900, 224), (13, 29)] {
            let table = resize_table(input, output);
            for (o, row) in table.coefficients.chunks_exact(table.taps).enumerate() {
                let sum: i32 = row.iter().sum();
                assert!((sum - (1 << PRECISION_BITS)).unsigned_abs() <= table.taps as u32, "{o}: {sum}");
                assert!(table.start[o] + table.count[o] <= input && table.count[o] as usize <= table.taps);
            }
        }
    }
}
