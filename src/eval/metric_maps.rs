//! Anomaly maps in the size in which they are compared with masks.

use super::aupro::Map;
use super::ground::MetricSize;
use super::mask::Mask;
use crate::bank::{Maps, SourceMaps};
use crate::gpu::Device;
use crate::steps::input::cover::Cover;
use crate::steps::input::geometry::Framing;
use crate::steps::map::source_map::SourceAxis;
use crate::{Error, Result};

/// Makes maps of patch scores, on the device.
pub struct MetricMaps {
    device: Device,
    grid: [u32; 2],
    frame: Maps,
    source: SourceMaps,
    framing: Framing,
    size: MetricSize,
    cover: Option<Cover>,
}

/// The map of an image in the size in which it is compared with its mask.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricMap {
    /// Rows and columns.
    pub size: [u32; 2],
    /// As many values, row by row; what the model does not look at is 0.
    pub map: Vec<f32>,
    /// As many values, true for pixels that count; `None`: all do.
    pub counted: Option<Vec<bool>>,
}

impl MetricMap {
    /// With the image's mask, for [`evaluate`](super::evaluate).
    pub fn with<'a>(&'a self, mask: Option<&'a Mask>) -> Map<'a> {
        Map {
            width: self.size[1] as usize,
            scores: &self.map,
            mask: mask.map(|mask| mask.pixels.as_slice()),
            counted: self.counted.as_deref(),
        }
    }
}

impl std::fmt::Debug for MetricMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricMaps")
            .field("framing", &self.framing)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl MetricMaps {
    /// For patches of a grid of `[rows, columns]` in frames that images come to as `framing` says; outside of
    /// `cover`, if there is one, no pixel counts.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a map of the frame passes one binding, [`crate::Error::Device`] where memory
    /// is out.
    pub fn new(
        device: &Device,
        grid: [u32; 2],
        framing: Framing,
        size: MetricSize,
        cover: Option<Cover>,
    ) -> Result<Self> {
        let device = device.current()?;
        let frame = Maps::new(&device, grid, framing.frame, 1)?;
        let source = SourceMaps::new(&device, grid, SourceMaps::STRIP)?;
        Ok(Self { device, grid, frame, source, framing, size, cover })
    }

    /// The map of a frame; once more where the device was lost, on the one in its place.
    fn of_frame(&mut self, patches: &[f32]) -> Result<Vec<f32>> {
        let maps = match self.frame.run(patches) {
            Err(Error::Lost(_)) => {
                self.device = self.device.current()?;
                self.frame = Maps::new(&self.device, self.grid, self.framing.frame, 1)?;
                self.frame.run(patches)?
            }
            other => other?,
        };
        Ok(maps.concat())
    }

    /// The map of an image of `[width, height]` pixels whose patches score so.
    ///
    /// # Errors
    /// As [`Framing::place`]; [`crate::Error::Device`] where the device failed.
    pub fn run(&mut self, patches: &[f32], image: [u32; 2]) -> Result<MetricMap> {
        let size = self.size.of(image, self.framing);
        let is_frame = self.size == MetricSize::Frame;
        let placement = self.framing.place(image[0], image[1])?;
        let mut map = if is_frame {
            self.of_frame(patches)?
        } else {
            let mut map = vec![0.0; size[0] as usize * size[1] as usize];
            self.source.run_or_anew(patches, SourceAxis::of(&placement, size), &mut map)?;
            map
        };
        let clear = |cover: &Cover, map: &mut [f32]| match is_frame {
            true => cover.clear(map),
            false => cover.clear_source(map, size, &placement),
        };
        let counted = self.cover.as_ref().map(|cover| {
            clear(cover, &mut map);
            let mut ones = vec![1.0; map.len()];
            clear(cover, &mut ones);
            ones.into_iter().map(|v| v > 0.0).collect()
        });
        Ok(MetricMap { size, map, counted })
    }
}
