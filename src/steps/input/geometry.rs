//! Which part of a picture is looked at, and in which size: docs/method.md, section 1.

use crate::{Error, Result};

/// Longest side of a resized picture: a table of taps is made for all of it, of which the frame keeps some.
const LONGEST: u64 = 1 << 20;

/// Pixels that a picture has at most after either pass of its resize, unless it has more itself: a thin one
/// of a few hundred bytes takes no more memory than the largest that is decoded.
const MOST_PIXELS: u64 = 1 << 28;

/// How a picture comes to the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Its shorter side is brought to so many pixels, and the frame is cut from its middle: the published
    /// protocol.
    Middle {
        /// Pixels of the shorter side.
        shorter: u32,
    },
    /// Whole, each side for itself.
    Stretch,
    /// Whole, in its own aspect and in the middle; what is left of the frame repeats the picture's border.
    Pad,
    /// In its own aspect, so that the frame is full; what passes the frame is cut off evenly.
    Cut,
}

/// The frame of a model, and how pictures come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Framing {
    /// Rows and columns of the backbone's input.
    pub frame: [u32; 2],
    /// How pictures come to it.
    pub way: Way,
}

/// Where a picture of one size lies in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Width after the resize.
    pub width: u32,
    /// Height after the resize.
    pub height: u32,
    /// Column of the resized picture that is the frame's first; negative where the frame begins before it.
    pub left: i64,
    /// Row of the resized picture that is the frame's first; negative where the frame begins before it.
    pub top: i64,
    /// Rows and columns of the frame.
    pub frame: [u32; 2],
}

impl Framing {
    /// The published protocol: the shorter side to `resize`, then the middle `crop` x `crop`.
    pub fn middle(resize: u32, crop: u32) -> Self {
        Self { frame: [crop; 2], way: Way::Middle { shorter: resize } }
    }

    /// Where a picture of `w` x `h` pixels lies.
    ///
    /// Of [`Way::Middle`] the longer side is `shorter * long / short` rounded down; the offset is
    /// `(side - crop) / 2`, halves to the even number: as torchvision's `Resize(int)` and `CenterCrop(int)`.
    /// The other ways round to the nearest pixel.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where a size is 0, the frame is larger than the resized picture that it is cut
    /// from (torchvision would pad), or the resized picture has a side of more than 2^20 pixels, or, after one pass
    /// or both, more than 2^28 pixels and more than the picture.
    pub fn place(&self, w: u32, h: u32) -> Result<Placement> {
        let [rows, columns] = self.frame;
        if w == 0 || h == 0 || rows == 0 || columns == 0 {
            return Err(Error::InvalidOption(format!(
                "image {w}x{h}, frame {columns}x{rows}: sizes must be positive"
            )));
        }
        let [width, height] = match self.way {
            Way::Middle { shorter } => {
                if columns.max(rows) > shorter {
                    return Err(Error::InvalidOption(format!(
                        "crop {} is larger than the resized shorter side {shorter}",
                        columns.max(rows)
                    )));
                }
                let long = u64::from(shorter) * u64::from(w.max(h)) / u64::from(w.min(h));
                if w <= h { [u64::from(shorter), long] } else { [long, u64::from(shorter)] }
            }
            Way::Stretch => [columns, rows].map(u64::from),
            // The side that fills the frame is the frame's; the other keeps the aspect.
            Way::Pad | Way::Cut => {
                let by_width = u64::from(columns) * u64::from(h) < u64::from(rows) * u64::from(w);
                if by_width == (self.way == Way::Pad) {
                    [u64::from(columns), rounded(h, columns, w)]
                } else {
                    [rounded(w, rows, h), u64::from(rows)]
                }
            }
        };
        let most = MOST_PIXELS.max(u64::from(w) * u64::from(h));
        if width.max(height) > LONGEST || width * height.max(u64::from(h)) > most {
            return Err(Error::InvalidOption(format!(
                "an image of {w}x{h} is too long and thin for a frame of {columns}x{rows}"
            )));
        }
        let (width, height) = (width as u32, height as u32);
        let offset =
            |side: u32, frame: u32| ((f64::from(side) - f64::from(frame)) / 2.0).round_ties_even() as i64;
        Ok(Placement {
            width,
            height,
            left: offset(width, columns),
            top: offset(height, rows),
            frame: self.frame,
        })
    }
}

/// A picture whose aspect differs from the frame's by no more than this share is as good as of its shape.
const ALIKE: f64 = 0.1;

impl Framing {
    /// Whether a picture of `[width, height]` pixels has the frame's aspect, within a tenth; of the middle
    /// alone, pictures may have any.
    pub fn is_alike(&self, [width, height]: [u32; 2]) -> bool {
        let [rows, columns] = self.frame.map(f64::from);
        let ratio = f64::from(width) * rows / (f64::from(height) * columns);
        matches!(self.way, Way::Middle { .. }) || ratio.max(1.0 / ratio) <= 1.0 + ALIKE
    }
}

/// `side * to / from`, to the nearest whole number but at least 1.
fn rounded(side: u32, to: u32, from: u32) -> u64 {
    let (side, to, from) = (u64::from(side), u64::from(to), u64::from(from));
    ((side * to + from / 2) / from).max(1)
}

impl Placement {
    /// Columns and rows of the frame that show the picture: the first and the one after the last of each.
    pub fn shown(&self) -> [std::ops::Range<u32>; 2] {
        let range = |first: i64, side: u32, frame: u32| {
            let end = (i64::from(side) - first).clamp(0, i64::from(frame));
            (-first).clamp(0, i64::from(frame)) as u32..end as u32
        };
        [range(self.left, self.width, self.frame[1]), range(self.top, self.height, self.frame[0])]
    }

    /// Whether the frame shows more than the picture.
    pub fn is_padded(&self) -> bool {
        let [columns, rows] = self.shown();
        columns.len() < self.frame[1] as usize || rows.len() < self.frame[0] as usize
    }

    /// Columns and rows of a picture of `[width, height]` pixels whose centres lie in the frame: the first
    /// and the one after the last of each.
    pub fn covered(&self, [width, height]: [u32; 2]) -> [std::ops::Range<u32>; 2] {
        let range = |source: u32, side: u32, first: i64, frame: u32| {
            let at = |o: &u32| (f64::from(*o) + 0.5) * f64::from(side) / f64::from(source) - first as f64;
            let inside = |o: &u32| (0.0..f64::from(frame)).contains(&at(o));
            match ((0..source).find(inside), (0..source).rfind(inside)) {
                (Some(low), Some(high)) => low..high + 1,
                _ => 0..0,
            }
        };
        [
            range(width, self.width, self.left, self.frame[1]),
            range(height, self.height, self.top, self.frame[0]),
        ]
    }

    /// Where the centre of pixel (`x`, `y`) of the frame lies in a picture of `[width, height]` pixels; the
    /// nearest pixel of the picture for what lies beside it.
    pub fn source_of(&self, [x, y]: [f64; 2], [width, height]: [u32; 2]) -> [u32; 2] {
        let at = |v: f64, first: i64, side: u32, source: u32| {
            let at = (v + 0.5 + first as f64) * f64::from(source) / f64::from(side);
            (at.max(0.0) as u32).min(source.saturating_sub(1))
        };
        [at(x, self.left, self.width, width), at(y, self.top, self.height, height)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(frame: [u32; 2], way: Way, w: u32, h: u32) -> [i64; 4] {
        let p = Framing { frame, way }.place(w, h).unwrap();
        [p.width.into(), p.height.into(), p.left, p.top]
    }

    #[test]
    fn the_middle_is_torchvision_s() {
        let at = |w, h| place([224; 2], Way::Middle { shorter: 256 }, w, h);
        assert_eq!(at(1024, 1024), [256, 256, 16, 16]);
        // 256 * 1000 / 700 = 365.7 -> 365; (365 - 224) / 2 = 70.5 -> 70
        assert_eq!(at(1000, 700), [365, 256, 70, 16]);
        // 256 * 1004 / 700 = 367.2 -> 367; (367 - 224) / 2 = 71.5 -> 72
        assert_eq!(at(700, 1004), [256, 367, 16, 72]);
        assert!(matches!(Framing::middle(64, 65).place(9, 9), Err(Error::InvalidOption(_))));
        assert!(matches!(Framing::middle(64, 64).place(u32::MAX, 1), Err(Error::InvalidOption(_))));
    }

    #[test]
    fn whole_pictures_lie_in_the_frame() {
        let frame = [64, 128];
        assert_eq!(place(frame, Way::Stretch, 77, 300), [128, 64, 0, 0]);
        // As wide as the frame in its aspect, lower: rows before and after.
        assert_eq!(place(frame, Way::Pad, 400, 100), [128, 32, 0, -16]);
        assert_eq!(place(frame, Way::Cut, 400, 100), [256, 64, 64, 0]);
        assert_eq!(place(frame, Way::Pad, 100, 100), [64, 64, -32, 0]);
        assert_eq!(place(frame, Way::Cut, 100, 100), [128, 128, 0, 32]);
        for way in [Way::Pad, Way::Cut, Way::Stretch] {
            assert_eq!(place(frame, way, 256, 128), [128, 64, 0, 0], "{way:?}");
        }
        assert!(Framing { frame, way: Way::Cut }.place(u32::MAX, 1).is_err());
        // After the first pass it would be 128 x 2^22, or 16384 x 2^16 in the end.
        assert!(Framing { frame, way: Way::Stretch }.place(1, 1 << 22).is_err());
        assert!(Framing { frame: [1 << 14; 2], way: Way::Cut }.place(4, 1).is_err());
        assert_eq!(place([64, 256], Way::Stretch, 1 << 14, 1 << 15), [256, 64, 0, 0]);
        assert_eq!(place(frame, Way::Pad, u32::MAX, 1), [128, 1, 0, -32]);
    }

    #[test]
    fn what_is_shown_and_what_is_covered() {
        let of = |way, w, h| {
            let placement = Framing { frame: [64, 128], way }.place(w, h).unwrap();
            (placement.shown(), placement.covered([w, h]), placement.is_padded())
        };
        assert_eq!(of(Way::Pad, 400, 100), ([0..128, 16..48], [0..400, 0..100], true));
        assert_eq!(of(Way::Cut, 400, 100), ([0..128, 0..64], [100..300, 0..100], false));
        assert_eq!(of(Way::Stretch, 3, 5), ([0..128, 0..64], [0..3, 0..5], false));
        let middle = Framing::middle(256, 224).place(512, 512).unwrap();
        assert_eq!(middle.covered([512, 512]), [32..480, 32..480]);
        assert_eq!(middle.source_of([0.0, 223.0], [512, 512]), [33, 479]);
    }
}
