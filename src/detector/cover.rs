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

/// Appends the positions of a picture that are shown, of those `within` a region; `None`: all are shown.
fn extend_within(looked_at: &mut Vec<bool>, shown: Option<Vec<bool>>, within: &[bool]) {
    match shown {
        None => looked_at.extend_from_slice(within),
        Some(shown) => looked_at.extend(shown.iter().zip(within).map(|(a, b)| *a && *b)),
    }
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
        let patches = shown_of(source, framing, grid, within)?;
        Ok(Self { roi, patches })
    }
}

/// Which patches of the images of `source` are looked at, `[images][positions]`, of those `within` a region; `None`:
/// all are.
///
/// # Errors
/// As [`Framing::place`]; [`Error::InvalidOption`] where the region leaves no patch.
pub(super) fn shown_of(
    source: &dyn ImageSource,
    framing: Framing,
    grid: [u32; 2],
    within: Option<Vec<bool>>,
) -> Result<Option<Vec<bool>>> {
    if within.is_none() && framing.way != Way::Pad {
        return Ok(None);
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
        extend_within(&mut patches, shown, &within);
    }
    Ok(patches.contains(&false).then_some(patches))
}

/// What a detector looks at of the images that it scores.
pub(super) struct Looking {
    framing: Framing,
    grid: [u32; 2],
    /// The model's region of interest.
    roi: Option<Cover>,
    /// That and what is not ignored.
    within: Option<Cover>,
    /// The same by positions.
    positions: Option<Vec<bool>>,
    /// Whether the device leaves something out that is looked at again.
    stale: bool,
}

impl Looking {
    pub fn new(framing: Framing, grid: [u32; 2], roi: Option<Cover>) -> Self {
        let positions = roi.as_ref().map(|roi| roi.positions(grid));
        Self { framing, grid, within: roi.clone(), roi, positions, stale: false }
    }

    /// Looks at what is inside `kept`, too, from the next batch on; `None`: at all that the model looks at.
    pub fn set_kept(&mut self, kept: Option<&Roi>) -> Result<()> {
        let kept = kept.map(|kept| cover_of(kept, self.framing)).transpose()?;
        let within = match (kept, &self.roi) {
            (Some(kept), Some(roi)) => Some(kept.and(roi)),
            (kept, roi) => kept.or_else(|| roi.clone()),
        };
        let positions = within.as_ref().map(|within| within.positions(self.grid));
        if positions.as_ref().is_some_and(|p| !p.contains(&true)) {
            return Err(Error::InvalidOption("with what is ignored, nothing is looked at".to_owned()));
        }
        (self.within, self.positions, self.stale) = (within, positions, true);
        Ok(())
    }

    /// Another device is looking, which looks at all until it is told otherwise.
    pub fn renewed(&mut self) {
        self.stale = false;
    }

    /// What of the frame is looked at; `None`: all of it.
    pub fn within(&self) -> Option<&Cover> {
        self.within.as_ref()
    }

    /// Which patches of images of these sizes are looked at, one image after the other; `None`: what the device
    /// knows still holds.
    pub fn of(&mut self, sizes: impl Iterator<Item = [u32; 2]>) -> Result<Option<Vec<bool>>> {
        if self.positions.is_none() && self.framing.way != Way::Pad && !self.stale {
            return Ok(None);
        }
        // The next batch may have more images, or other ones.
        self.stale = true;
        let all = vec![true; self.grid[0] as usize * self.grid[1] as usize];
        let within = self.positions.as_ref().unwrap_or(&all);
        let mut looked_at = Vec::new();
        for size in sizes {
            extend_within(&mut looked_at, shown(self.framing, size, self.grid)?, within);
        }
        Ok(Some(looked_at))
    }
}
