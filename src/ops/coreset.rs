//! Exact greedy k-centre selection, many picks a pass, without computing most of the distances.
//!
//! Source: PatchCore, section 3.2. One batch: list the patches that are farthest from the picks so far, run plain greedy
//! among them for as long as the best of them comes before every other patch, then update the other patches against the
//! batch's picks. Patches are sorted by nearest pick for that, and the triangle inequality passes over most picks of a
//! cluster. The picks are those of plain greedy, index by index, in the arithmetic of `add_squares` (`shared/coreset.wgsl`).

use super::broadcast8;
use super::check;
use crate::gpu::{Archetype, Device, Recorder, Tensor, grid_1d};
use crate::{Error, Result};

/// A run of the vectors to choose from, `[rows][dims]`.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The vectors.
    pub rows: &'a Tensor,
    /// Index of the first of them over all chunks.
    pub first_row: u32,
    /// How many there are.
    pub len: u32,
}

/// Sizes of a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoresetShape {
    /// Patches that may be chosen.
    pub kept: u32,
    /// Length of a vector, a multiple of 4 and at most 4096.
    pub dims: u32,
    /// Patches to choose, `1..=kept`.
    pub picks: u32,
    /// Candidates a batch at most. It decides the time, not the result.
    pub batch: u32,
}

impl CoresetShape {
    /// The shape with the batch that suits these sizes: large batches mean fewer passes over the patches, but the mutual
    /// distances of the candidates grow with the square, and the table of picks x batch has to fit one binding.
    pub fn new(kept: u32, dims: u32, picks: u32, max_binding: u64) -> Self {
        let picks = picks.min(kept);
        let fitting = (max_binding / 4 / u64::from(picks.max(1))).min(512) as u32;
        Self { kept, dims, picks, batch: (fitting / 64 * 64).max(64) }
    }
}

/// Everything that a selection reads and writes besides the vectors.
#[derive(Debug)]
pub struct CoresetBuffers {
    /// Chosen rows in the order chosen, indices over all chunks, `[picks]`.
    pub picks: Tensor,
    /// Their vectors, `[picks][dims]`.
    pub bank: Tensor,
    /// Counters, see [`Progress::read`].
    pub state: Tensor,
    shape: CoresetShape,
    kept: Tensor,
    /// Kept positions of each chunk.
    spans: Vec<(u32, u32)>,
    samples: Tensor,
    sample_count: u32,
    distance: Tensor,
    centre: Tensor,
    bins: Tensor,
    candidates: Tensor,
    chosen: Tensor,
    rows: Tensor,
    mutual: Tensor,
    clusters: Tensor,
    active: Tensor,
    table: Tensor,
    sorted: Tensor,
}

/// How far a selection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Picks so far.
    pub picked: u32,
    /// Batches so far.
    pub batches: u32,
    /// Patch-pick distances that the updates computed; one at a time it would be `kept` a pick.
    pub distances: u64,
}

impl Progress {
    /// From the words of [`CoresetBuffers::state`].
    pub fn read(state: &[u32]) -> Self {
        let word = |i: usize| state.get(i).copied().unwrap_or_default();
        Self {
            picked: word(0),
            batches: word(12),
            distances: u64::from(word(11)) << 32 | u64::from(word(10)),
        }
    }
}

/// The uniform of `coreset_*.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    kept: u32,
    r4: u32,
    picks: u32,
    batch: u32,
    level: u32,
    pos0: u32,
    pos1: u32,
    row0: u32,
}

/// Most rows that the first pick is measured against.
const MAX_SAMPLES: usize = 16;
/// Groups of 64 that walk all patches.
const WALKERS: u32 = 256;
/// Groups that walk tiles.
const TILE_WALKERS: u32 = 2048;

impl CoresetBuffers {
    /// Allocates for one selection. `kept` are the rows that may be chosen, ascending; `samples` the positions in it
    /// against which the first pick is measured (at most 16).
    ///
    /// # Errors
    /// [`Error::Limit`] where a buffer passes one binding or a size is out of its range, [`Error::InvalidOption`] where
    /// `kept` does not ascend or leaves the chunks.
    pub fn new(
        device: &Device,
        shape: CoresetShape,
        chunks: &[Chunk<'_>],
        kept: &[u32],
        samples: &[u32],
    ) -> Result<Self> {
        let CoresetShape { dims, picks, batch, .. } = shape;
        if dims % 4 != 0 || dims == 0 || dims > 4096 || picks == 0 || picks > shape.kept || batch == 0 {
            return Err(Error::Limit(format!(
                "coreset {shape:?}: dims must be a multiple of 4 up to 4096, picks 1..=kept, batch not 0"
            )));
        }
        if shape.kept.div_ceil(batch) > 65_536 {
            return Err(Error::Limit(format!("coreset {shape:?}: more than 65536 patches a candidate")));
        }
        if kept.len() != shape.kept as usize || !kept.windows(2).all(|w| w[0] < w[1]) {
            return Err(Error::InvalidOption(format!(
                "coreset: {} kept rows that do not ascend",
                kept.len()
            )));
        }
        if samples.is_empty() || samples.len() > MAX_SAMPLES || samples.iter().any(|&s| s >= shape.kept) {
            return Err(Error::InvalidOption("coreset: 1 to 16 start samples among the kept rows".into()));
        }
        let mut spans = Vec::with_capacity(chunks.len());
        let mut next = 0;
        for chunk in chunks {
            check("coreset chunk", u64::from(chunk.len) * u64::from(dims), chunk.rows)?;
            let at = |row: u32| kept.partition_point(|&k| k < row) as u32;
            spans.push((at(chunk.first_row), at(chunk.first_row + chunk.len)));
            if spans.last().is_some_and(|s| s.0 != next) {
                return Err(Error::InvalidOption("coreset: kept rows between the chunks".into()));
            }
            next = spans.last().map_or(0, |s| s.1);
        }
        if next != shape.kept {
            return Err(Error::InvalidOption("coreset: kept rows past the chunks".into()));
        }
        let longest = spans.iter().map(|s| s.1 - s.0).max().unwrap_or_default();
        let slots = longest as usize + 7 * longest.min(picks) as usize;
        let (m, b, r) = (picks as usize, batch as usize, dims as usize);
        let listed = b.max(MAX_SAMPLES);
        let mut padded = samples.to_vec();
        padded.resize(MAX_SAMPLES, 0);
        Ok(Self {
            picks: device.alloc(m, "coreset picks")?,
            bank: device.alloc(m * r, "coreset bank")?,
            state: device.alloc(16, "coreset state")?,
            shape,
            kept: device.upload(kept, "coreset kept")?,
            spans,
            samples: device.upload(&padded, "coreset samples")?,
            sample_count: samples.len() as u32,
            distance: device.alloc(kept.len(), "coreset distance")?,
            centre: device.alloc(kept.len(), "coreset centre")?,
            bins: device.alloc(65_536, "coreset bins")?,
            candidates: device.alloc(listed, "coreset candidates")?,
            chosen: device.alloc(b, "coreset chosen")?,
            rows: device.alloc(listed * r, "coreset rows")?,
            mutual: device.alloc(b * b, "coreset mutual")?,
            clusters: device.alloc(4 * m, "coreset clusters")?,
            active: device.alloc(m, "coreset active")?,
            table: device.alloc(m * b, "coreset table")?,
            sorted: device.alloc(slots.next_multiple_of(8), "coreset sorted")?,
        })
    }
}

/// A selection from `chunks` (the same that its buffers were made for).
#[derive(Debug)]
pub struct Coreset<'a> {
    /// The vectors, in order.
    pub chunks: &'a [Chunk<'a>],
    /// State, lists and result.
    pub buffers: &'a CoresetBuffers,
}

impl Coreset<'_> {
    fn params(&self, level: u32) -> Params {
        let s = self.buffers.shape;
        Params {
            kept: s.kept,
            r4: s.dims / 4,
            picks: s.picks,
            batch: s.batch,
            level,
            pos0: 0,
            pos1: s.kept,
            row0: 0,
        }
    }

    /// Each chunk with kept rows, and the parameters for it.
    fn spans(&self, level: u32) -> impl Iterator<Item = (&Tensor, Params)> {
        let params = self.params(level);
        self.chunks.iter().zip(&self.buffers.spans).filter(|(_, span)| span.0 < span.1).map(
            move |(chunk, &(pos0, pos1))| {
                (chunk.rows, Params { pos0, pos1, row0: chunk.first_row, ..params })
            },
        )
    }

    fn label(&self) -> String {
        let s = self.buffers.shape;
        format!("{}x{}->{} b{}", s.kept, s.dims, s.picks, s.batch)
    }

    /// Records the first pick: the kept row with the largest mean distance to the samples.
    ///
    /// # Errors
    /// [`Error::Limit`] where a grid passes the device's limit.
    pub fn record_start(&self, recorder: &mut Recorder) -> Result<()> {
        let (b, label) = (self.buffers, self.label());
        let device = recorder.device().clone();
        let limit = device.caps().max_groups;
        let listed = b.shape.batch.max(MAX_SAMPLES as u32);
        self.gather(recorder, &b.samples, b.sample_count, listed)?;
        let mean = device.kernel("coreset_start", &[("ROWS", b.sample_count)], &["MEAN"])?;
        for (rows, params) in self.spans(0) {
            let grid = grid_1d((params.pos1 - params.pos0).div_ceil(64), limit);
            recorder.dispatch(&mean, &label, &[rows, &b.kept, &b.rows, &b.distance], &params, grid)?;
        }
        recorder.dispatch(
            &device.kernel("coreset_first", &[], &[])?,
            &label,
            &[&b.distance, &b.kept, &b.picks, &b.candidates, &b.chosen, &b.state],
            &self.params(0),
            [1, 1, 1],
        )?;
        self.gather(recorder, &b.candidates, 1, listed)?;
        let start = device.kernel("coreset_start", &[("ROWS", 1)], &[])?;
        for (rows, params) in self.spans(0) {
            let grid = grid_1d((params.pos1 - params.pos0).div_ceil(64), limit);
            recorder.dispatch(&start, &label, &[rows, &b.kept, &b.rows, &b.distance], &params, grid)?;
        }
        recorder.clear(&b.centre);
        recorder.clear(&b.bins);
        self.append(recorder)
    }

    fn gather(&self, recorder: &mut Recorder, list: &Tensor, count: u32, listed: u32) -> Result<()> {
        let b = self.buffers;
        let kernel = recorder.device().kernel("coreset_gather", &[], &[])?;
        let rows = if count == 0 { listed } else { count };
        let grid = grid_1d((rows * (b.shape.dims / 4)).div_ceil(64), recorder.device().caps().max_groups);
        for (chunk, params) in self.spans(count) {
            let params = Params { batch: listed, ..params };
            recorder.dispatch(
                &kernel,
                &self.label(),
                &[chunk, &b.kept, list, &b.state, &b.rows],
                &params,
                grid,
            )?;
        }
        Ok(())
    }

    fn append(&self, recorder: &mut Recorder) -> Result<()> {
        let b = self.buffers;
        let kernel = recorder.device().kernel("coreset_append", &[], &[])?;
        let limit = recorder.device().caps().max_groups;
        recorder.dispatch(
            &kernel,
            &self.label(),
            &[&b.rows, &b.candidates, &b.chosen, &b.state, &b.bank, &b.distance],
            &self.params(0),
            grid_1d((b.shape.batch * (b.shape.dims / 4)).div_ceil(64), limit),
        )
    }

    /// Records one batch of picks: at least one where any are missing, nothing once all are chosen.
    ///
    /// # Errors
    /// [`Error::Limit`] where a grid passes the device's limit.
    pub fn record_batch(&self, recorder: &mut Recorder) -> Result<()> {
        let (b, label) = (self.buffers, self.label());
        let shape = b.shape;
        let device = recorder.device().clone();
        let kernel = |name: &str| device.kernel(name, &[], &[]);
        let walkers = |n: u32| [n.div_ceil(64).clamp(1, WALKERS), 1, 1];
        let mut flags = Vec::new();
        if broadcast8(device.caps()) {
            flags.push("SUBGROUP");
        }
        let direct = device.caps().archetype == Archetype::Direct;
        let pairs = |centres: bool| {
            let mut flags = if direct { flags.clone() } else { Vec::new() };
            if centres {
                flags.push("CENTRES");
            }
            device.kernel(if direct { "coreset_pairs_direct" } else { "coreset_pairs_tiled" }, &[], &flags)
        };

        // The farthest patches.
        for level in 1..=3 {
            let params = self.params(level);
            recorder.dispatch(
                &kernel("coreset_histogram")?,
                &label,
                &[&b.distance, &b.state, &b.bins],
                &params,
                walkers(shape.kept),
            )?;
            recorder.dispatch(
                &kernel("coreset_threshold")?,
                &label,
                &[&b.bins, &b.state],
                &params,
                [1, 1, 1],
            )?;
        }
        let params = self.params(0);
        recorder.dispatch(
            &kernel("coreset_collect")?,
            &label,
            &[&b.distance, &b.candidates, &b.state],
            &params,
            walkers(shape.kept),
        )?;

        // Greedy among them.
        self.gather(recorder, &b.candidates, 0, shape.batch)?;
        recorder.dispatch(
            &pairs(false)?,
            &label,
            &[&b.rows, &b.rows, &b.active, &b.state, &b.clusters, &b.mutual],
            &params,
            [TILE_WALKERS, 1, 1],
        )?;
        recorder.dispatch(
            &device.kernel("coreset_greedy", &[("PER", shape.batch.div_ceil(64))], &[])?,
            &label,
            &[&b.candidates, &b.distance, &b.mutual, &b.kept, &b.picks, &b.chosen, &b.state],
            &params,
            [1, 1, 1],
        )?;
        self.append(recorder)?;

        // Which clusters the picks come near.
        let one = self.spans(0).count() == 1;
        recorder.clear(&b.clusters);
        let count = |recorder: &mut Recorder, params: Params| {
            let tensors = [&b.distance, &b.centre, &b.state, &b.clusters];
            recorder.dispatch(
                &kernel("coreset_count")?,
                &label,
                &tensors,
                &params,
                walkers(params.pos1 - params.pos0),
            )
        };
        count(recorder, Params { level: u32::from(!one), ..params })?;
        recorder.dispatch(
            &kernel("coreset_active")?,
            &label,
            &[&b.clusters, &b.active, &b.state],
            &params,
            walkers(shape.picks),
        )?;
        recorder.dispatch(
            &pairs(true)?,
            &label,
            &[&b.bank, &b.bank, &b.active, &b.state, &b.clusters, &b.table],
            &params,
            [TILE_WALKERS, 1, 1],
        )?;

        // The patches of those clusters.
        let update = if direct {
            if !flags.is_empty() && (shape.dims / 4) % 8 != 0 {
                flags.push("TAIL");
            }
            device.kernel("coreset_update_direct", &[], &flags)?
        } else {
            kernel("coreset_update_tiled")?
        };
        for (rows, params) in self.spans(0) {
            if !one {
                count(recorder, params)?;
            }
            recorder.dispatch(
                &kernel("coreset_offsets")?,
                &label,
                &[&b.clusters, &b.state],
                &params,
                [1, 1, 1],
            )?;
            recorder.clear(&b.sorted);
            recorder.dispatch(
                &kernel("coreset_scatter")?,
                &label,
                &[&b.distance, &b.centre, &b.state, &b.clusters, &b.sorted],
                &params,
                walkers(params.pos1 - params.pos0),
            )?;
            recorder.dispatch(
                &update,
                &label,
                &[rows, &b.kept, &b.bank, &b.table, &b.sorted, &b.distance, &b.centre, &b.state],
                &params,
                [TILE_WALKERS, 1, 1],
            )?;
        }
        Ok(())
    }
}
