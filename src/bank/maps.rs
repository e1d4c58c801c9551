//! Anomaly maps of one geometry, with the buffers for a batch.

use crate::Result;
use crate::gpu::{Device, Recorder, Tensor};
use crate::steps::map::anomaly_map::{AnomalyMap, Axis, Band};

/// Patch scores to maps, up to `batch` images at a time.
#[derive(Debug)]
pub struct Maps {
    device: Device,
    rows: Axis,
    columns: Axis,
    scratch: Tensor,
    /// `[batch][out_h][out_w]`.
    pub maps: Tensor,
    batch: usize,
}

impl Maps {
    /// Buffers for `batch` images of patches `grid` (rows, columns) and maps of `out` pixels.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a buffer passes one binding, [`crate::Error::Device`] where memory is
    /// out.
    pub fn new(device: &Device, grid: [u32; 2], out: [u32; 2], batch: usize) -> Result<Self> {
        let axis = |grid: u32, out: u32| -> Result<Axis> {
            let Band { values, first, taps } = Band::new(grid, out);
            Ok(Axis {
                values: device.upload(&values, "anomaly map weights")?,
                first: device.upload(&first, "anomaly map windows")?,
                taps,
                grid,
                out,
            })
        };
        let area = |[h, w]: [u32; 2]| batch * h as usize * w as usize;
        Ok(Self {
            device: device.clone(),
            rows: axis(grid[0], out[0])?,
            columns: axis(grid[1], out[1])?,
            scratch: device.alloc(area([out[1], grid[0]]), "map scratch")?,
            maps: device.alloc(area(out), "anomaly maps")?,
            batch,
        })
    }

    /// Records maps of the first `images` images of `scores` `[..][h][w]`.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where there are more images than the buffers are for.
    pub fn record(&self, recorder: &mut Recorder, scores: &Tensor, images: u32) -> Result<()> {
        let Self { rows, columns, scratch, maps: map, .. } = self;
        AnomalyMap { scores, rows, columns, scratch, map, batch: images }.record(recorder)
    }

    /// Maps of `patches` `[images][h][w]` scored elsewhere.
    ///
    /// # Errors
    /// [`crate::Error::Lost`] where the device was lost.
    pub fn run(&self, patches: &[f32]) -> Result<Vec<Vec<f32>>> {
        let positions = self.rows.grid as usize * self.columns.grid as usize;
        let pixels = self.rows.out as usize * self.columns.out as usize;
        let scores = self.device.alloc(self.batch * positions, "patch scores")?;
        let mut out = Vec::with_capacity(patches.len() / positions);
        for batch in patches.chunks(self.batch * positions) {
            let count = batch.len() / positions;
            self.device.write(&scores, 0, batch);
            let mut recorder = Recorder::new(&self.device);
            self.record(&mut recorder, &scores, count as u32)?;
            recorder.run()?;
            let maps: Vec<f32> = self.device.read(&self.maps.slice(0, count * pixels))?;
            out.extend(maps.chunks_exact(pixels).map(<[f32]>::to_vec));
        }
        Ok(out)
    }
}
