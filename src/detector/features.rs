//! What a fit keeps of all training images: projected vectors, and the embeddings.

use super::patch_store::{PatchStore, Place};
use super::projection::{Projection, record_projection, sample_rows};
use crate::ahead::read_ahead;
use crate::gpu::{Device, Recorder, Tensor};
use crate::settings::Parts;
use crate::spool::Spool;
use crate::steps::outlier::group::Gather;
use crate::steps::patches::projection::projection_matrix;
use crate::{Error, Result};

/// Patches of a pass at a time at most: few beside what a device holds, many beside what keeps it busy.
const AT_A_TIME: usize = 1 << 14;

/// Where the embeddings are.
pub(super) enum Embeddings {
    /// Beside the projected vectors.
    Kept(PatchStore),
    /// The projected vectors are the embeddings.
    Projected,
    /// Nowhere.
    Dropped,
}

/// Features of all training images.
pub(crate) struct Features {
    /// Where they are used.
    pub(super) device: Device,
    /// Projected vectors `[images * positions][r]`.
    pub z: PatchStore,
    /// The embeddings.
    pub(super) embeddings: Embeddings,
    /// Sizes of what else is in memory.
    pub parts: Parts,
    /// Training images.
    pub images: usize,
    /// Grid positions an image.
    pub positions: usize,
    /// Columns of the grid.
    pub columns: usize,
    /// Values of a projected vector.
    pub r: usize,
    /// Values of an embedding.
    pub dim: usize,
    /// `[images][positions]`, true where a patch is looked at; `None`: all are.
    pub covered: Option<Vec<bool>>,
}

impl Features {
    /// Whether a patch (image-major number) is looked at.
    pub fn covers(&self, patch: u32) -> bool {
        self.covered.as_ref().is_none_or(|covered| covered[patch as usize])
    }

    /// Which patches of an image are looked at, where some are not.
    pub fn covered_of(&self, image: usize) -> Option<&[bool]> {
        self.covered.as_ref().map(|covered| &covered[image * self.positions..][..self.positions])
    }

    /// Patches that are looked at.
    pub fn looked_at(&self) -> usize {
        let all = self.images * self.positions;
        self.covered.as_ref().map_or(all, |covered| covered.iter().filter(|c| **c).count())
    }

    /// Leaves out the patches that `covered` `[images][positions]` has as false: their projected vectors become
    /// infinite, which are nobody's neighbours.
    pub fn cover(&mut self, covered: Vec<bool>) -> Result<()> {
        let most = self.at_a_time();
        let nothing = self.device.upload(&vec![f32::INFINITY; most * self.r], "nothing")?;
        for (image, covered) in covered.chunks_exact(self.positions).enumerate() {
            let mut at = 0;
            for run in covered.chunk_by(|a, b| a == b) {
                for start in (0..run.len()).step_by(most).filter(|_| !run[0]) {
                    let first = image * self.positions + at + start;
                    self.z.fill(first, most.min(run.len() - start), &nothing)?;
                }
                at += run.len();
            }
        }
        self.covered = Some(covered);
        Ok(())
    }

    /// The outlier scores with 1, as of patches that nothing is known of, where no more than `k` images show
    /// the position, and 0 where a patch is not looked at.
    pub fn judged(&self, mut scores: Vec<f32>, k: u32) -> Vec<f32> {
        let Some(covered) = &self.covered else { return scores };
        let mut images = vec![0_u32; self.positions];
        for one in covered.chunks_exact(self.positions) {
            images.iter_mut().zip(one).for_each(|(n, c)| *n += u32::from(*c));
        }
        for (score, (covered, n)) in scores.iter_mut().zip(covered.iter().zip(images.iter().cycle())) {
            match (covered, *n > k) {
                (false, _) => *score = 0.0,
                (true, false) => *score = 1.0,
                (true, true) => {}
            }
        }
        scores
    }

    /// Whether projected vectors and embeddings wait in temporary files.
    pub fn on_disk(&self) -> [bool; 2] {
        [self.z.is_on_disk(), matches!(&self.embeddings, Embeddings::Kept(kept) if kept.is_on_disk())]
    }

    /// Of a budget of `memory` bytes what features leave that are on the device, an eighth at least.
    pub fn left(&self, memory: u64) -> u64 {
        let [z, e] = self.on_disk();
        let kept = matches!(self.embeddings, Embeddings::Kept(_));
        let values = if z { 0 } else { self.r } + if kept && !e { self.dim } else { 0 };
        memory.saturating_sub(4 * (self.images * self.positions * values) as u64).max(memory / 8)
    }

    /// Bytes of the temporary files.
    pub fn disk_bytes(&self) -> u64 {
        let [z, e] = self.on_disk().map(usize::from);
        4 * (self.images * self.positions) as u64 * (z * self.r + e * self.dim) as u64
    }

    /// Projects all embeddings anew, by the map of `seed`. Embeddings that were not projected stay as they
    /// are.
    pub fn reproject(&mut self, seed: u64) -> Result<()> {
        if matches!(self.embeddings, Embeddings::Projected) {
            return Ok(());
        }
        let device = self.device.clone();
        let projection =
            Projection { matrix: projection_matrix(self.dim, self.r, seed), r: self.r, turn: true };
        let bias = device.alloc(self.r, "no bias")?;
        let most = self.at_a_time();
        let x = device.alloc(most * self.dim, "embeddings of patches")?;
        let c = device.alloc(most * self.r, "projected patches")?;
        let rows = sample_rows(self.positions);
        let sample = device.upload(&self.gather(&rows)?, "sample of an image")?;
        let w = projection.upload(&device, &sample, rows.len())?;
        let end = self.images * self.positions;
        for first in (0..end).step_by(most) {
            let count = most.min(end - first);
            self.load(first, count, &x)?;
            let mut recorder = Recorder::new(&device);
            record_projection(&mut recorder, &x, &w, &bias, &c, [count, self.dim, self.r])?;
            self.z.record(&mut recorder, first, count, &c);
            recorder.run()?;
            self.z.submitted(first, count, &c)?;
        }
        device.wait()
    }

    fn embeddings(&self) -> Result<&PatchStore> {
        match &self.embeddings {
            Embeddings::Kept(kept) => Ok(kept),
            Embeddings::Projected => Ok(&self.z),
            Embeddings::Dropped => Err(Error::Internal("the embeddings were not kept".into())),
        }
    }

    /// The embeddings of the patches in `rows` (image-major numbers), `[rows][dim]`.
    pub fn gather(&self, rows: &[u32]) -> Result<Vec<f32>> {
        self.embeddings()?.gather(rows)
    }

    /// Copies the embeddings of patches `first .. first + count` to `to` `[count][dim]`.
    pub fn load(&self, first: usize, count: usize, to: &Tensor) -> Result<()> {
        self.embeddings()?.load(first, count, to)
    }

    /// Patches of a pass over all of them, at a time: those of an image, or of a part of it.
    pub fn at_a_time(&self) -> usize {
        self.positions.min(AT_A_TIME)
    }

    /// Brings grid positions `p0 .. p0 + groups` of all images to `block` `[groups][images][r]`, before the
    /// next submission or in what `recorder` records.
    pub fn block(&self, recorder: &mut Recorder, block: &Tensor, p0: usize, groups: usize) -> Result<()> {
        let chunks = match &self.z.place {
            Place::Device(chunks) => chunks,
            Place::Disk(spool) => {
                let mut values = Vec::new();
                self.read_block(spool, p0, groups, &mut values)?;
                self.device.write(block, 0, &values);
                return Ok(());
            }
        };
        for (c, z) in chunks.tensors.iter().enumerate() {
            Gather {
                z,
                block,
                rows: (c * chunks.rows) as u32..(c * chunks.rows + z.len() / self.r) as u32,
                n: self.images as u32,
                positions: self.positions as u32,
                p0: p0 as u32,
                groups: groups as u32,
                r: self.r as u32,
            }
            .record(recorder)?;
        }
        Ok(())
    }

    /// Calls `f` for every run of up to `groups` grid positions, in order: with their vectors in `block`, or
    /// a recorder that brings them there, the first position, and how many there are. `f` must submit, and
    /// wait for the device.
    pub fn blocks(
        &self,
        block: &Tensor,
        groups: usize,
        mut f: impl FnMut(Recorder, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let device = self.device.clone();
        // Where only memory is counted, all are like the first.
        let end = if device.rehearses() { 1 } else { self.positions };
        let runs = (0..end).step_by(groups).map(|p0| (p0, groups.min(self.positions - p0)));
        match &self.z.place {
            Place::Device(_) => {
                for (p0, here) in runs {
                    let mut recorder = Recorder::new(&device);
                    self.block(&mut recorder, block, p0, here)?;
                    f(recorder, p0, here)?;
                }
                Ok(())
            }
            Place::Disk(spool) => read_ahead(
                runs.collect::<Vec<_>>(),
                |&(p0, here), values| self.read_block(spool, p0, here, values),
                |(p0, here), values| {
                    device.write(block, 0, values);
                    f(Recorder::new(&device), p0, here)
                },
            ),
        }
    }

    /// Reads a piece of every image and deals its rows out to the groups.
    fn read_block(&self, spool: &Spool, p0: usize, groups: usize, values: &mut Vec<f32>) -> Result<()> {
        let (n, r) = (self.images, self.r);
        values.resize(groups * n * r, 0.0);
        let mut piece = vec![0.0_f32; groups * r];
        for image in 0..n {
            spool.read(image * self.positions + p0, &mut piece)?;
            for (group, row) in piece.chunks_exact(r).enumerate() {
                values[(group * n + image) * r..][..r].copy_from_slice(row);
            }
        }
        Ok(())
    }
}
