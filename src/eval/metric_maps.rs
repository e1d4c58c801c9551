//! Anomaly maps in the size in which they are compared with masks.

use super::ground::MetricSize;
use crate::Result;
use crate::bank::{Maps, SourceMaps};
use crate::gpu::Device;
use crate::steps::input::geometry::Framing;
use crate::steps::map::source_map::SourceAxis;

/// Makes maps of patch scores, on the device.
pub struct MetricMaps {
    frame: Maps,
    source: SourceMaps,
    framing: Framing,
    size: MetricSize,
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
    /// For patches of a grid of `[rows, columns]` in frames that images come to as `framing` says.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a map of the frame passes one binding, [`crate::Error::Device`] where memory
    /// is out.
    pub fn new(device: &Device, grid: [u32; 2], framing: Framing, size: MetricSize) -> Result<Self> {
        let frame = Maps::new(device, grid, framing.frame, 1)?;
        Ok(Self { frame, source: SourceMaps::new(device, grid, SourceMaps::STRIP)?, framing, size })
    }

    /// The map of an image of `[width, height]` pixels whose patches score so, row by row, and its rows and
    /// columns. What the model does not look at is 0.
    ///
    /// # Errors
    /// As [`Framing::place`]; [`crate::Error::Device`] where the device failed.
    pub fn run(&mut self, patches: &[f32], image: [u32; 2]) -> Result<(Vec<f32>, [u32; 2])> {
        let size = self.size.of(image, self.framing);
        if self.size == MetricSize::Frame {
            return Ok((self.frame.run(patches)?.concat(), size));
        }
        let place = self.framing.place(image[0], image[1])?;
        let mut map = vec![0.0; size[0] as usize * size[1] as usize];
        self.source.run(patches, SourceAxis::of(&place, size), &mut map)?;
        Ok((map, size))
    }
}
