//! The anomaly map in the pixels of the source image: the axes of [`super::anomaly_map`], carried on from the
//! frame to the source, for the same kernel.

use super::anomaly_map::{Band, axis_matrix};
use crate::steps::input::geometry::Placement;

/// How an axis of a source image lies on the frame that was cut out of it, resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceAxis {
    /// Pixels of the source.
    pub source: u32,
    /// Pixels after the resize.
    pub resized: u32,
    /// First pixel of the frame among the resized ones; negative where the frame is padded.
    pub first: i64,
    /// Pixels of the frame.
    pub frame: u32,
}

impl SourceAxis {
    /// The rows and the columns of a picture of `[rows, columns]` that lies in its frame so.
    pub fn of(placement: &Placement, [rows, columns]: [u32; 2]) -> [Self; 2] {
        let axis = |source, resized, first, frame| Self { source, resized, first, frame };
        [
            axis(rows, placement.height, placement.top, placement.frame[0]),
            axis(columns, placement.width, placement.left, placement.frame[1]),
        ]
    }

    /// Where the centre of source pixel `o` lies on the frame, in frame pixels from its edge; `None` where
    /// the frame does not reach.
    pub fn on_frame(&self, o: u32) -> Option<f64> {
        let twice = (2 * u64::from(o) + 1) * u64::from(self.resized);
        let at = twice as f64 / (2.0 * f64::from(self.source)) - self.first as f64;
        (0.0..f64::from(self.frame)).contains(&at).then_some(at)
    }

    /// The band of an axis of `grid` patches: upsampling and blur on the frame, then bilinear between the
    /// frame's pixel centres, its edges repeated; zeros where the frame does not reach.
    pub fn band(&self, grid: u32) -> Band {
        let map = axis_matrix(grid, self.frame);
        let columns = grid as usize;
        let row = |at: usize| &map[at * columns..][..columns];
        let mut matrix = vec![0.0; self.source as usize * columns];
        for (o, out) in (0..self.source).zip(matrix.chunks_exact_mut(columns)) {
            let Some(at) = self.on_frame(o) else { continue };
            let last = self.frame as usize - 1;
            let at = (at - 0.5).clamp(0.0, last as f64);
            let low = (at as usize).min(last);
            let t = at - low as f64;
            let pair = row(low).iter().zip(row((low + 1).min(last)));
            out.iter_mut().zip(pair).for_each(|(v, (a, b))| *v = (1.0 - t) * a + t * b);
        }
        Band::of(&matrix, grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_lies_where_it_was_cut_out() {
        // Nothing resized: the frame is pixels 2 to 7.
        let axis = SourceAxis { source: 10, resized: 10, first: 2, frame: 6 };
        let at: Vec<_> = (0..10).map(|o| axis.on_frame(o)).collect();
        assert_eq!(at[..2], [None, None]);
        assert_eq!(at[2..8], [0.5, 1.5, 2.5, 3.5, 4.5, 5.5].map(Some));
        assert_eq!(at[8..], [None, None]);
        // A quarter of its size, whole, and the same with two padded pixels on either side.
        for first in [0, -2] {
            let axis = SourceAxis { source: 40, resized: 10, first, frame: (10 - 2 * first) as u32 };
            assert!((0..40).all(|o| axis.on_frame(o).is_some()), "{first}");
            assert_eq!(axis.on_frame(0), Some(0.125 - first as f64));
        }
    }

    #[test]
    fn the_band_is_the_maps_where_nothing_is_resized() {
        let axis = SourceAxis { source: 56, resized: 56, first: 0, frame: 56 };
        let (band, map) = (axis.band(7), Band::new(7, 56));
        assert_eq!((band.values, band.first, band.taps), (map.values, map.first, map.taps));
    }

    #[test]
    fn rows_add_up_to_one_or_nothing() {
        let axis = SourceAxis { source: 211, resized: 80, first: 11, frame: 53 };
        let band = axis.band(7);
        for (o, row) in band.values.chunks_exact(band.taps as usize).enumerate() {
            let sum: f32 = row.iter().sum();
            let want = if axis.on_frame(o as u32).is_some() { 1.0 } else { 0.0 };
            assert!((sum - want).abs() < 1e-6, "{o}: {sum}");
            assert!(band.first[o] + band.taps <= 7);
        }
    }
}
