//! Patches of the grid as places in a picture.

use super::Framing;
use crate::Result;
use crate::steps::input::geometry::Placement;

/// Where the cells of a grid of patches lie in a picture of one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells {
    placement: Placement,
    /// Rows and columns of the grid.
    grid: [u32; 2],
    /// Width and height of the picture.
    size: [u32; 2],
}

impl Cells {
    /// Of pictures of `size` (width, height) that come to the frame so.
    ///
    /// # Errors
    /// As [`Framing::place`].
    pub fn new(framing: Framing, grid: [u32; 2], size: [u32; 2]) -> Result<Self> {
        Ok(Self { placement: framing.place(size[0], size[1])?, grid, size })
    }

    /// The pixel corner of the picture that is nearest to corner `[x, y]` of the grid; cell `(x, y)` has the
    /// corners `(x, y)` and `(x + 1, y + 1)`.
    pub fn corner(&self, [x, y]: [u32; 2]) -> [u32; 2] {
        let Placement { width, height, left, top, frame } = self.placement;
        let at = |v: u32, cells: u32, frame: u32, first: i64, side: u32, source: u32| {
            let on_frame = f64::from(v) * f64::from(frame) / f64::from(cells);
            let at = (on_frame + first as f64) * f64::from(source) / f64::from(side);
            at.round().clamp(0.0, f64::from(source)) as u32
        };
        [
            at(x, self.grid[1], frame[1], left, width, self.size[0]),
            at(y, self.grid[0], frame[0], top, height, self.size[1]),
        ]
    }

    /// `[x, y, width, height]` in pixels of a box `[x, y, width, height]` of cells; at least a pixel wide and
    /// high.
    pub fn bbox(&self, [x, y, w, h]: [u32; 4]) -> [u32; 4] {
        let ([left, top], [right, bottom]) = (self.corner([x, y]), self.corner([x + w, y + h]));
        let [left, top] = [left.min(self.size[0].saturating_sub(1)), top.min(self.size[1].saturating_sub(1))];
        [left, top, right.saturating_sub(left).max(1), bottom.saturating_sub(top).max(1)]
    }

    /// The pixel in the middle of cell `[x, y]`.
    pub fn middle(&self, [x, y]: [u32; 2]) -> [u32; 2] {
        let middle =
            |v: u32, cells: u32, frame: u32| (f64::from(v) + 0.5) * f64::from(frame) / f64::from(cells) - 0.5;
        let frame = self.placement.frame;
        self.placement
            .source_of([middle(x, self.grid[1], frame[1]), middle(y, self.grid[0], frame[0])], self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Way;

    #[test]
    fn cells_lie_where_the_frame_shows_the_picture() {
        let cells = |way, size| Cells::new(Framing { frame: [64, 128], way }, [8, 16], size).unwrap();
        let stretched = cells(Way::Stretch, [256, 256]);
        assert_eq!(stretched.bbox([1, 1, 2, 1]), [16, 32, 32, 32]);
        assert_eq!(stretched.middle([0, 0]), [8, 16]);
        // 64 x 64 in the middle of the frame's 128: cells 4 to 11 show it, others lie at its border.
        let padded = cells(Way::Pad, [256, 256]);
        assert_eq!(padded.bbox([4, 0, 1, 1]), [0, 0, 32, 32]);
        assert_eq!(padded.bbox([0, 0, 2, 1]), [0, 0, 1, 32]);
        assert_eq!(padded.bbox([15, 7, 1, 1]), [255, 224, 1, 32]);
        assert_eq!(padded.middle([4, 0]), [16, 16]);
    }
}
