//! Patch scores to anomaly maps, for methods that score patches in their own way.

use crate::Result;
use crate::gpu::{Device, Recorder, Tensor};
use crate::ops::anomaly_map::AnomalyMap;

pub(super) struct Maps {
    device: Device,
    map: AnomalyMap,
    scores: Tensor,
    scratch: Tensor,
    maps: Tensor,
    batch: usize,
    pixels: usize,
    positions: usize,
}

impl Maps {
    pub fn new(device: &Device, grid: [u32; 2], crop: u32, batch: usize) -> Result<Self> {
        let map = AnomalyMap::new(device, grid, [crop; 2])?;
        let positions = (grid[0] * grid[1]) as usize;
        let pixels = crop as usize * crop as usize;
        Ok(Self {
            device: device.clone(),
            scores: device.alloc(batch * positions, "patch scores")?,
            scratch: device.alloc(map.scratch_len(batch as u32), "map scratch")?,
            maps: device.alloc(batch * pixels, "anomaly maps")?,
            map,
            batch,
            pixels,
            positions,
        })
    }

    /// Maps of `patches` `[images][positions]`.
    pub fn run(&self, patches: &[f32]) -> Result<Vec<Vec<f32>>> {
        let mut out = Vec::with_capacity(patches.len() / self.positions);
        for batch in patches.chunks(self.batch * self.positions) {
            let count = batch.len() / self.positions;
            self.device.write(&self.scores, 0, batch);
            let mut recorder = Recorder::new(&self.device);
            self.map.record(&mut recorder, &self.scores, &self.scratch, &self.maps, count as u32)?;
            recorder.run()?;
            let maps: Vec<f32> = self.device.read(&self.maps.slice(0, count * self.pixels))?;
            out.extend(maps.chunks_exact(self.pixels).map(<[f32]>::to_vec));
        }
        Ok(out)
    }
}
