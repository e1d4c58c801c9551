//! The anomaly map of the frame, brought back to the size of the source image.

use super::{Detector, Score};
use crate::{Error, Result};

/// For every output of one axis: the two inputs it lies between and how far; `None` outside the frame.
fn axis(source: u32, resized: u32, first: i64, frame: u32) -> Vec<Option<(usize, usize, f32)>> {
    let scale = f64::from(resized) / f64::from(source);
    (0..source)
        .map(|o| {
            let at = (f64::from(o) + 0.5) * scale - first as f64;
            if !(0.0..f64::from(frame)).contains(&at) {
                return None;
            }
            let at = (at - 0.5).clamp(0.0, f64::from(frame - 1));
            let low = at as usize;
            Some((low, (low + 1).min(frame as usize - 1), (at - low as f64) as f32))
        })
        .collect()
}

impl Detector {
    /// Writes the map of `score` in the size of the source image, `width * height` values row by row:
    /// bilinear between pixel centres, 0 where the frame does not reach. A convenience for display, computed
    /// on the host.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where `out` or the score's map has another size.
    pub fn map_in_source(&self, score: &Score, width: u32, height: u32, out: &mut [f32]) -> Result<()> {
        let [map_h, map_w] = score.map_size;
        let placement = self.info().framing().place(width, height)?;
        if out.len() as u64 != u64::from(width) * u64::from(height)
            || score.map.len() as u64 != u64::from(map_h) * u64::from(map_w)
        {
            return Err(Error::InvalidOption(format!(
                "a map of {} values for {width}x{height}, from one of {} for {map_w}x{map_h}",
                out.len(),
                score.map.len()
            )));
        }
        let columns = axis(width, placement.width, placement.left, map_w);
        let rows = axis(height, placement.height, placement.top, map_h);
        for (row, to) in rows.iter().zip(out.chunks_exact_mut(width as usize)) {
            let Some((y0, y1, fy)) = *row else {
                to.fill(0.0);
                continue;
            };
            let line = |y: usize| &score.map[y * map_w as usize..(y + 1) * map_w as usize];
            let (top, bottom) = (line(y0), line(y1));
            for (column, v) in columns.iter().zip(to) {
                *v = column.map_or(0.0, |(x0, x1, fx)| {
                    let a = top[x0] + fx * (top[x1] - top[x0]);
                    let b = bottom[x0] + fx * (bottom[x1] - bottom[x0]);
                    a + fy * (b - a)
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::axis;

    #[test]
    fn the_axis_is_the_identity_where_nothing_is_resized() {
        let taps = axis(10, 10, 2, 6);
        assert!(taps[..2].iter().chain(&taps[8..]).all(Option::is_none));
        for (o, tap) in taps[2..8].iter().enumerate() {
            let (low, _, share) = tap.unwrap();
            assert_eq!((low, share), (o, 0.0));
        }
    }

    #[test]
    fn a_shrunk_source_is_covered_from_edge_to_edge() {
        let taps = axis(40, 10, 0, 10);
        assert!(taps.iter().all(Option::is_some));
        assert_eq!(taps[0].unwrap(), (0, 1, 0.0));
        assert_eq!(taps[39].unwrap().0, 9);
        assert_eq!(taps[3].unwrap(), (0, 1, 0.375));
    }
}
