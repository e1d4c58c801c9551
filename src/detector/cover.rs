//! What of the training pictures is looked at.

use crate::data::{ImageSource, Roi};
use crate::steps::input::cover::{Cover, shown};
use crate::steps::input::geometry::{Framing, Way};
use crate::{Error, Result};

/// A region of interest on the frame.
///
/// # Errors
/// As [`Framing::place`].
pub(crate) fn cover_of(roi: &Roi, framing: Framing) -> Result<Cover> {
    Cover::of(roi.size(), framing, |x, y| roi.is_inside(x, y))
}

/// What of the training patches is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Covers {
    /// The region of interest on the frame.
    pub roi: Option<Cover>,
    /// `[images][positions]`, true where a patch is looked at; `None`: all are.
    pub patches: Option<Vec<bool>>,
}

impl Covers {
    /// Of the images of `source`, by their sizes and its region of interest.
    ///
    /// # Errors
    /// As [`Framing::place`]; [`Error::InvalidOption`] where no patch is left.
    pub fn new(source: &dyn ImageSource, framing: Framing, grid: [u32; 2]) -> Result<Self> {
        let roi = source.roi().map(|roi| cover_of(roi, framing)).transpose()?;
        let within = roi.as_ref().map(|cover| cover.positions(grid));
        if within.is_none() && framing.way != Way::Pad {
            return Ok(Self::default());
        }
        let positions = grid[0] as usize * grid[1] as usize;
        let within = within.unwrap_or_else(|| vec![true; positions]);
        if !within.contains(&true) {
            return Err(Error::InvalidOption(format!(
                "the region of interest leaves no patch of the {}x{} that a picture has; draw it larger, or raise size",
                grid[1], grid[0]
            )));
        }
        let mut patches = Vec::with_capacity(source.len() * positions);
        for image in 0..source.len() {
            // Whoever loads an image says what is wrong with it.
            let shown = match source.size(image) {
                Ok(size) => shown(framing, size, grid)?,
                Err(_) => None,
            };
            match shown {
                None => patches.extend_from_slice(&within),
                Some(shown) => patches.extend(shown.iter().zip(&within).map(|(a, b)| *a && *b)),
            }
        }
        let patches = patches.contains(&false).then_some(patches);
        Ok(Self { roi, patches })
    }
}
