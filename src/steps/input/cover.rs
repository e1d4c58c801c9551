//! What of a frame is looked at: all but padding, and what lies outside regions of interest.

use super::geometry::{Framing, Placement, Way};
use crate::Result;

/// Which pixels of a frame are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Rows and columns of the frame.
    pub frame: [u32; 2],
    /// As many values, row by row.
    pub inside: Vec<bool>,
}

impl Cover {
    /// A region of `size` `[width, height]` laid over pictures that come to a frame by `framing`; `is_inside`
    /// tells of its pixel (x, y). Padding is as the picture beside it: it is another matter.
    ///
    /// # Errors
    /// As [`Framing::place`].
    pub fn of(size: [u32; 2], framing: Framing, is_inside: impl Fn(u32, u32) -> bool) -> Result<Self> {
        let placement = framing.place(size[0], size[1])?;
        let [rows, columns] = framing.frame;
        let inside = (0..rows)
            .flat_map(|y| (0..columns).map(move |x| [f64::from(x), f64::from(y)]))
            .map(|at| placement.source_of(at, size))
            .map(|[x, y]| is_inside(x, y))
            .collect();
        Ok(Self { frame: framing.frame, inside })
    }

    /// Clears what lies outside of a map of this frame.
    ///
    /// # Panics
    /// Where the map has another size.
    pub fn clear(&self, map: &mut [f32]) {
        assert_eq!(map.len(), self.inside.len(), "a map of a frame of {:?}", self.frame);
        map.iter_mut().zip(&self.inside).filter(|(_, inside)| !**inside).for_each(|(v, _)| *v = 0.0);
    }

    /// Clears what lies outside of a map of a picture of `[rows, columns]` pixels that lies in the frame so.
    ///
    /// # Panics
    /// Where the map has another size.
    pub fn clear_source(&self, map: &mut [f32], [rows, columns]: [u32; 2], placement: &Placement) {
        assert_eq!(map.len() as u64, u64::from(rows) * u64::from(columns), "a map of {columns}x{rows}");
        let on_frame = |o: u32, source: u32, side: u32, first: i64, frame: u32| {
            let at = (f64::from(o) + 0.5) * f64::from(side) / f64::from(source) - first as f64;
            (at >= 0.0 && at < f64::from(frame)).then_some(at as usize)
        };
        let [height, width] = self.frame;
        let across: Vec<Option<usize>> =
            (0..columns).map(|x| on_frame(x, columns, placement.width, placement.left, width)).collect();
        for (y, line) in (0..rows).zip(map.chunks_exact_mut(columns.max(1) as usize)) {
            let Some(y) = on_frame(y, rows, placement.height, placement.top, height) else { continue };
            for (x, value) in across.iter().zip(line) {
                if x.is_some_and(|x| !self.inside[y * width as usize + x]) {
                    *value = 0.0;
                }
            }
        }
    }

    /// What is inside both.
    pub fn and(mut self, other: &Self) -> Self {
        self.inside.iter_mut().zip(&other.inside).for_each(|(a, b)| *a &= b);
        self
    }

    /// Share of the frame that is inside.
    pub fn share(&self) -> f64 {
        self.inside.iter().filter(|i| **i).count() as f64 / self.inside.len() as f64
    }

    /// The positions of a grid of which at least half is inside, row by row.
    pub fn positions(&self, [rows, columns]: [u32; 2]) -> Vec<bool> {
        let [height, width] = self.frame;
        let cell = |at: u32, of: u32, side: u32| {
            let edge = |at: u32| (u64::from(at) * u64::from(side) / u64::from(of)) as usize;
            edge(at)..edge(at + 1).max(edge(at) + 1)
        };
        let mut positions = Vec::with_capacity(rows as usize * columns as usize);
        for y in 0..rows {
            for x in 0..columns {
                let (across, down) = (cell(x, columns, width), cell(y, rows, height));
                let all = across.len() * down.len();
                let line = |y: usize| &self.inside[y * width as usize..][across.clone()];
                let inside: usize = down.map(|y| line(y).iter().filter(|i| **i).count()).sum();
                positions.push(2 * inside >= all);
            }
        }
        positions
    }
}

/// The positions of a grid that show something of a picture of `[width, height]` pixels; `None`: all.
///
/// # Errors
/// As [`Framing::place`].
pub fn shown(framing: Framing, [width, height]: [u32; 2], grid: [u32; 2]) -> Result<Option<Vec<bool>>> {
    if framing.way != Way::Pad {
        return Ok(None);
    }
    let placement = framing.place(width, height)?;
    if !placement.is_padded() {
        return Ok(None);
    }
    let [columns, rows] = placement.shown();
    let overlaps = |at: u32, of: u32, side: u32, shown: &std::ops::Range<u32>| {
        let edge = |at: u32| u64::from(at) * u64::from(side) / u64::from(of);
        edge(at) < u64::from(shown.end) && edge(at + 1) > u64::from(shown.start)
    };
    let [frame_h, frame_w] = placement.frame;
    Ok(Some(
        (0..grid[0])
            .flat_map(|y| (0..grid[1]).map(move |x| (x, y)))
            .map(|(x, y)| overlaps(x, grid[1], frame_w, &columns) && overlaps(y, grid[0], frame_h, &rows))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_covers_the_frame_as_it_covers_pictures() {
        // The left half.
        let left = |x: u32, _: u32| x < 2;
        let cover = Cover::of([4, 2], Framing { frame: [4, 8], way: Way::Stretch }, left).unwrap();
        assert_eq!(cover.inside, [true, true, true, true, false, false, false, false].repeat(4));
        assert_eq!((cover.positions([2, 4]), cover.share()), ([true, true, false, false].repeat(2), 0.5));
        // Half of the middle one of three is inside.
        assert_eq!(cover.positions([1, 2]), [true, false]);
        let mut map = vec![1.0; 32];
        cover.clear(&mut map);
        assert_eq!(map, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0].repeat(4));
        let placement = Framing { frame: [4, 8], way: Way::Stretch }.place(4, 2).unwrap();
        let mut map = vec![1.0; 8];
        cover.clear_source(&mut map, [2, 4], &placement);
        assert_eq!(map, [1.0, 1.0, 0.0, 0.0].repeat(2));
        let all = Cover { inside: vec![true; 32], ..cover.clone() };
        assert_eq!(all.and(&cover), cover);
        // The middle of a wide picture.
        let middle = Cover::of([4, 2], Framing::middle(4, 4), left).unwrap();
        assert_eq!(middle.inside, [true, true, false, false].repeat(4));
    }

    #[test]
    fn padding_is_not_shown() {
        let framing = Framing { frame: [64, 128], way: Way::Pad };
        assert_eq!(shown(framing, [200, 100], [2, 4]).unwrap(), None);
        // 64 x 64 in the middle: columns 32 to 96.
        let want = [false, true, true, false].repeat(2);
        assert_eq!(shown(framing, [100, 100], [2, 4]).unwrap().unwrap(), want);
        assert_eq!(shown(Framing { way: Way::Cut, ..framing }, [100, 100], [2, 4]).unwrap(), None);
    }
}
