//! What the settings say of how pictures come to the frame.

use super::choice::{FitAspect, Geometry};
use super::options::FitOptions;
use crate::steps::input::geometry::{Framing, Way};
use crate::{Error, Result};

impl FitOptions {
    /// The published geometry: the shorter side to `resize` pixels, then the middle `crop` x `crop`.
    pub fn paper(resize: u32, crop: u32) -> Self {
        Self { geometry: Geometry::Paper, resize, crop, ..Self::default() }
    }

    /// Refuses what is of account for the other geometry alone.
    pub(super) fn check_geometry(&self) -> Result<()> {
        let usual = Self::default();
        let other = |what: String, to: Geometry, instead: &str| {
            Err(Error::InvalidOption(format!(
                "{what}, which is for the geometry {to}; set that, or {instead}"
            )))
        };
        match self.geometry {
            Geometry::Whole if (self.resize, self.crop) != (usual.resize, usual.crop) => {
                let (resize, crop) = (self.resize, self.crop);
                let what = format!("resize is {resize} and crop {crop}");
                other(what, Geometry::Paper, "size instead of them")
            }
            Geometry::Paper if self.size != usual.size => {
                other(format!("size is {}", self.size), Geometry::Whole, "resize and crop instead of it")
            }
            Geometry::Paper if self.fit_aspect != usual.fit_aspect => {
                other(format!("fit-aspect is {}", self.fit_aspect), Geometry::Whole, "leave it out")
            }
            _ => Ok(()),
        }
    }

    /// How pictures come to a frame of `[rows, columns]` under these settings.
    pub fn framing(&self, frame: [u32; 2]) -> Framing {
        match (self.geometry, self.fit_aspect) {
            (Geometry::Paper, _) => Framing::middle(self.resize, self.crop),
            (Geometry::Whole, FitAspect::Stretch) => Framing { frame, way: Way::Stretch },
            (Geometry::Whole, FitAspect::Pad) => Framing { frame, way: Way::Pad },
            (Geometry::Whole, FitAspect::Crop) => Framing { frame, way: Way::Cut },
        }
    }
}
