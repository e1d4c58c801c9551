//! The kernels of a selection in their order.

use super::buffers::CoresetBuffers;
use super::shape::Chunk;
use super::state::{Params, State};
use crate::Result;
use crate::gpu::{Archetype, Kernel, Recorder, Shader, Tensor, grid_1d, shader};
use crate::steps::checks::{bound, broadcast8, reads_texels};
use std::sync::Arc;

static MEANS: Shader = shader!("coreset/start", entry: "means", shared: ["coreset"]);
static FIRST: Shader = shader!("coreset/start", entry: "first", shared: ["coreset"]);
static DISTANCES: Shader = shader!("coreset/start", entry: "distances", shared: ["coreset"]);
static FROM_MEANS: Shader = shader!("coreset/cap", entry: "from_means", shared: ["coreset"]);
static DROP_ROWS: Shader = shader!("coreset/cap", entry: "drop_rows", shared: ["coreset"]);
static APPLY_CAP: Shader = shader!("coreset/cap", entry: "apply", shared: ["coreset"]);
static HISTOGRAM: Shader = shader!("coreset/candidates", entry: "histogram", shared: ["coreset"]);
static THRESHOLD: Shader = shader!("coreset/candidates", entry: "threshold", shared: ["coreset"]);
static COLLECT: Shader = shader!("coreset/candidates", entry: "collect", shared: ["coreset"]);
static GATHER: Shader = shader!("coreset/rows", entry: "gather", shared: ["coreset"]);
static APPEND: Shader = shader!("coreset/rows", entry: "append", shared: ["coreset"]);
static GREEDY: Shader = shader!("coreset/greedy", shared: ["coreset"]);
static COUNT: Shader = shader!("coreset/clusters", entry: "count", shared: ["coreset"]);
static LIST: Shader = shader!("coreset/clusters", entry: "list", shared: ["coreset"]);
static OFFSETS: Shader = shader!("coreset/clusters", entry: "offsets", shared: ["coreset"]);
static SCATTER: Shader = shader!("coreset/clusters", entry: "scatter", shared: ["coreset"]);
static PAIRS_DIRECT: Shader = shader!(
    "coreset/pairs_direct",
    shared: ["coreset", "stored", "texels"],
    variants: [
        [], ["CENTRES"], ["SUBGROUP"], ["SUBGROUP", "CENTRES"],
        ["SUBGROUP", "TEXELS"], ["SUBGROUP", "TEXELS", "CENTRES"]
    ]
);
static PAIRS_TILED: Shader = shader!("coreset/pairs_tiled", shared: ["coreset"], variants: [[], ["CENTRES"]]);
static UPDATE_DIRECT: Shader = shader!(
    "coreset/update_direct",
    shared: ["coreset", "stored", "texels", "lanes8"],
    variants: [[], ["SUBGROUP"], ["SUBGROUP", "TAIL"], ["SUBGROUP", "TEXELS"], ["SUBGROUP", "TEXELS", "TAIL"]]
);
static UPDATE_TILED: Shader = shader!("coreset/update_tiled", shared: ["coreset"]);

/// The kernels of a selection.
pub(super) fn shaders() -> Vec<&'static Shader> {
    vec![
        &MEANS,
        &FIRST,
        &DISTANCES,
        &FROM_MEANS,
        &DROP_ROWS,
        &APPLY_CAP,
        &HISTOGRAM,
        &THRESHOLD,
        &COLLECT,
        &GATHER,
        &APPEND,
        &GREEDY,
        &COUNT,
        &LIST,
        &OFFSETS,
        &SCATTER,
        &PAIRS_DIRECT,
        &PAIRS_TILED,
        &UPDATE_DIRECT,
        &UPDATE_TILED,
    ]
}

/// Groups of 64 that walk all patches.
const WALKERS: u32 = 256;
/// Groups that walk tiles.
const TILE_WALKERS: u32 = 2048;
/// Word of the state with the tiles to look at.
const TILES: usize = std::mem::offset_of!(State, tiles) / 4;

fn walkers(patches: u32) -> [u32; 3] {
    [patches.div_ceil(64).clamp(1, WALKERS), 1, 1]
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
    fn params(&self) -> Params {
        let s = self.buffers.shape;
        Params {
            kept: s.kept,
            r4: s.dims / 4,
            picks: s.picks,
            batch: s.batch,
            across: s.across(),
            pos1: s.kept,
            ..Params::default()
        }
    }

    /// Chunk `c` with the parameters for it; `None` where it has no kept rows.
    fn span(&self, c: usize) -> Option<(&Tensor, Params)> {
        let (pos0, pos1) = self.buffers.spans[c];
        let chunk = &self.chunks[c];
        let params = Params { pos0, pos1, row0: chunk.first_row, ..self.params() };
        (pos0 < pos1).then_some((chunk.rows, params))
    }

    fn label(&self) -> String {
        let s = self.buffers.shape;
        format!("{}x{}->{} b{}", s.kept, s.dims, s.picks, s.batch)
    }

    /// Records the first pick: the kept row with the largest mean distance to the samples.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a grid passes the device's limit.
    pub fn record_start(&self, recorder: &mut Recorder) -> Result<()> {
        let b = self.buffers;
        self.gather(recorder, &b.samples, b.sample_count)?;
        (0..self.chunks.len()).try_for_each(|c| self.record_mean(recorder, c))?;
        self.record_onward(recorder)
    }

    /// Records the first pick: the kept row that is farthest by the distances that are there.
    ///
    /// # Errors
    /// As [`Coreset::record_start`].
    pub fn record_onward(&self, recorder: &mut Recorder) -> Result<()> {
        let b = self.buffers;
        self.record_first(recorder)?;
        self.gather(recorder, &b.candidates, 1)?;
        (0..self.chunks.len()).try_for_each(|c| self.record_distance(recorder, c))?;
        self.record_begin(recorder)
    }

    /// Records chunk `c`'s mean distances to the samples, whose rows are gathered.
    pub(crate) fn record_mean(&self, recorder: &mut Recorder, c: usize) -> Result<()> {
        let rows = self.buffers.sample_count;
        let kernel = recorder.device().kernel(&MEANS, &[("ROWS", rows)], &[])?;
        self.start(recorder, &kernel, c)
    }

    /// Records the choice of the first pick from the mean distances.
    pub(crate) fn record_first(&self, recorder: &mut Recorder) -> Result<()> {
        let b = self.buffers;
        recorder.dispatch(
            &recorder.device().kernel(&FIRST, &[], &[])?,
            &self.label(),
            &[&b.distance, &b.kept, &b.picks, &b.candidates, &b.chosen, &b.state],
            &self.params(),
            [1, 1, 1],
        )?;
        match &b.official {
            Some(official) => {
                let scale = 1.0 / b.sample_count as f32;
                self.cap(recorder, &FROM_MEANS, &[&b.distance, &official.cap], scale)
            }
            None => Ok(()),
        }
    }

    /// Records chunk `c`'s distances to the first pick, whose row is gathered.
    pub(crate) fn record_distance(&self, recorder: &mut Recorder, c: usize) -> Result<()> {
        let kernel = recorder.device().kernel(&DISTANCES, &[("ROWS", 1)], &[])?;
        self.start(recorder, &kernel, c)
    }

    fn start(&self, recorder: &mut Recorder, kernel: &Arc<Kernel>, c: usize) -> Result<()> {
        let Some((rows, params)) = self.span(c) else { return Ok(()) };
        let b = self.buffers;
        let grid = grid_1d((params.pos1 - params.pos0).div_ceil(64), recorder.device().caps().max_groups);
        recorder.dispatch(kernel, &self.label(), &[rows, &b.kept, &b.rows, &b.distance], &params, grid)
    }

    /// Records the state after the first pick.
    pub(crate) fn record_begin(&self, recorder: &mut Recorder) -> Result<()> {
        let b = self.buffers;
        if let Some(official) = &b.official {
            self.cap(recorder, &DROP_ROWS, &[&official.dropped, &b.distance], 0.0)?;
        }
        recorder.clear(&b.centre);
        recorder.clear(&b.bins);
        self.append(recorder)
    }

    /// One step of the published program's start.
    fn cap(&self, recorder: &mut Recorder, shader: &Shader, tensors: &[&Tensor], scale: f32) -> Result<()> {
        let kernel = recorder.device().kernel(shader, &[], &[])?;
        let limit = recorder.device().caps().max_groups;
        let grid = grid_1d(self.buffers.shape.kept.div_ceil(64), limit);
        recorder.dispatch(&kernel, &self.label(), tensors, &Params { scale, ..self.params() }, grid)
    }

    /// Gathers the rows of listed patches from all chunks: `count`, or where it is 0 as many as there are
    /// candidates.
    fn gather(&self, recorder: &mut Recorder, list: &Tensor, count: u32) -> Result<()> {
        let b = self.buffers;
        let kernel = recorder.device().kernel(&GATHER, &[], &[])?;
        let rows = if count == 0 { b.shape.batch } else { count };
        let grid = grid_1d((rows * (b.shape.dims / 4)).div_ceil(64), recorder.device().caps().max_groups);
        for (chunk, params) in (0..self.chunks.len()).filter_map(|c| self.span(c)) {
            let params = Params { listed: count, ..params };
            let tensors = [chunk, &b.kept, list, &b.state, &b.rows];
            recorder.dispatch(&kernel, &self.label(), &tensors, &params, grid)?;
        }
        Ok(())
    }

    fn append(&self, recorder: &mut Recorder) -> Result<()> {
        let b = self.buffers;
        let kernel = recorder.device().kernel(&APPEND, &[], &[])?;
        let limit = recorder.device().caps().max_groups;
        recorder.dispatch(
            &kernel,
            &self.label(),
            &[&b.rows, &b.candidates, &b.chosen, &b.state, &b.bank, &b.distance],
            &self.params(),
            grid_1d((b.shape.batch * (b.shape.dims / 4)).div_ceil(64), limit),
        )
    }

    /// Records one batch of picks: at least one where any are missing, nothing once all are chosen.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where a grid passes the device's limit.
    pub fn record_batch(&self, recorder: &mut Recorder) -> Result<()> {
        self.record_candidates(recorder)?;
        self.gather(recorder, &self.buffers.candidates, 0)?;
        let full = |c: &usize| self.span(*c).is_some();
        // A single chunk's members are counted with the radius.
        let one = (0..self.chunks.len()).filter(full).count() == 1;
        self.record_greedy(recorder, one)?;
        (0..self.chunks.len()).try_for_each(|c| self.record_update(recorder, c, !one))
    }

    /// Records the search for the farthest patches.
    pub(crate) fn record_candidates(&self, recorder: &mut Recorder) -> Result<()> {
        let (b, label) = (self.buffers, self.label());
        let kept = walkers(b.shape.kept);
        // Clusters go by the distances to picks alone: the triangle inequality knows no caps.
        if let Some(official) = &b.official {
            self.cap(recorder, &APPLY_CAP, &[&b.distance, &official.cap, &official.capped], 0.0)?;
        }
        let farness = self.farness();
        let device = recorder.device().clone();
        let kernel = |shader: &Shader| device.kernel(shader, &[], &[]);
        for level in 1..=3 {
            let params = Params { level, ..self.params() };
            let histogram = kernel(&HISTOGRAM)?;
            recorder.dispatch(&histogram, &label, &[farness, &b.state, &b.bins], &params, kept)?;
            let threshold = kernel(&THRESHOLD)?;
            recorder.dispatch(&threshold, &label, &[&b.bins, &b.state], &params, [1, 1, 1])?;
        }
        let tensors = [farness, &b.candidates, &b.state];
        recorder.dispatch(&kernel(&COLLECT)?, &label, &tensors, &self.params(), kept)
    }

    /// What the next pick is chosen by.
    fn farness(&self) -> &Tensor {
        self.buffers.official.as_ref().map_or(&self.buffers.distance, |official| &official.capped)
    }

    /// Records greedy among the candidates, whose rows are gathered, and which clusters the picks come near.
    /// With `members`, the clusters' members are counted, too.
    pub(crate) fn record_greedy(&self, recorder: &mut Recorder, members: bool) -> Result<()> {
        let (b, label, params) = (self.buffers, self.label(), self.params());
        let device = recorder.device().clone();
        let direct = device.caps().archetype == Archetype::Direct;
        let pairs = |texels: bool, centres: bool| {
            let mut flags = Vec::new();
            if direct && broadcast8(device.caps()) {
                flags.push("SUBGROUP");
            }
            flags.extend(texels.then_some("TEXELS"));
            if centres {
                flags.push("CENTRES");
            }
            device.kernel(if direct { &PAIRS_DIRECT } else { &PAIRS_TILED }, &[], &flags)
        };
        let tiles = [TILE_WALKERS, 1, 1];
        let texels = reads_texels(&device, &b.rows);
        let rows = bound(recorder, texels, &b.rows)?;
        let tensors = [&rows, &rows, &b.state, &b.mutual];
        recorder.dispatch(&pairs(texels, false)?, &label, &tensors, &params, tiles)?;
        recorder.dispatch(
            &device.kernel(&GREEDY, &[("PER", b.shape.per_invocation())], &[])?,
            &label,
            &[&b.candidates, self.farness(), &b.mutual, &b.kept, &b.picks, &b.chosen, &b.state],
            &params,
            [1, 1, 1],
        )?;
        self.append(recorder)?;

        recorder.clear(&b.clusters);
        self.count(recorder, params, members)?;
        recorder.dispatch(
            &device.kernel(&LIST, &[], &[])?,
            &label,
            &[&b.clusters, &b.open, &b.state],
            &(),
            walkers(b.shape.picks),
        )?;
        let texels = reads_texels(&device, &b.bank);
        let bank = bound(recorder, texels, &b.bank)?;
        let tensors = [&bank, &bank, &b.state, &b.open, &b.clusters, &b.table];
        recorder.dispatch(&pairs(texels, true)?, &label, &tensors, &params, tiles)
    }

    fn count(&self, recorder: &mut Recorder, params: Params, members: bool) -> Result<()> {
        let b = self.buffers;
        let params = Params { members: members.into(), ..params };
        let kernel = recorder.device().kernel(&COUNT, &[], &[])?;
        let tensors = [&b.distance, &b.centre, &b.state, &b.clusters];
        recorder.dispatch(&kernel, &self.label(), &tensors, &params, walkers(params.pos1 - params.pos0))
    }

    /// Records where the clusters' members in chunk `c` will lie, and with that the tiles to look at. With
    /// `count`, they are counted first.
    fn offsets(&self, recorder: &mut Recorder, params: Params, count: bool) -> Result<()> {
        if count {
            self.count(recorder, params, true)?;
        }
        let kernel = recorder.device().kernel(&OFFSETS, &[], &[])?;
        let tensors = [&self.buffers.clusters, &self.buffers.state];
        recorder.dispatch(&kernel, &self.label(), &tensors, &(), [1, 1, 1])
    }

    /// Records the number of tiles in every chunk that the picks come near, into `tiles` `[chunks]`.
    pub(crate) fn record_tiles(&self, recorder: &mut Recorder, tiles: &Tensor) -> Result<()> {
        recorder.clear(tiles);
        for c in 0..self.chunks.len() {
            let Some((_, params)) = self.span(c) else { continue };
            self.offsets(recorder, params, true)?;
            recorder.copy(&self.buffers.state, TILES, tiles, c, 1);
        }
        Ok(())
    }

    /// Records what the picks change in chunk `c`. With `count`, the clusters' members there are counted
    /// first.
    pub(crate) fn record_update(&self, recorder: &mut Recorder, c: usize, count: bool) -> Result<()> {
        let Some((rows, params)) = self.span(c) else { return Ok(()) };
        let (b, label) = (self.buffers, self.label());
        self.offsets(recorder, params, count)?;
        recorder.clear(&b.sorted);
        let device = recorder.device().clone();
        recorder.dispatch(
            &device.kernel(&SCATTER, &[], &[])?,
            &label,
            &[&b.distance, &b.centre, &b.state, &b.clusters, &b.sorted],
            &params,
            walkers(params.pos1 - params.pos0),
        )?;
        let texels = reads_texels(&device, &b.bank);
        let update = if device.caps().archetype == Archetype::Direct {
            let r4 = b.shape.dims / 4;
            let mut flags = Vec::new();
            if broadcast8(device.caps()) {
                flags.push("SUBGROUP");
                flags.extend(texels.then_some("TEXELS"));
                flags.extend((r4 < 8 || !r4.is_multiple_of(4)).then_some("TAIL"));
            }
            device.kernel(&UPDATE_DIRECT, &[], &flags)?
        } else {
            device.kernel(&UPDATE_TILED, &[], &[])?
        };
        let bank = bound(recorder, texels, &b.bank)?;
        let tensors = [rows, &b.kept, &bank, &b.table, &b.sorted, &b.distance, &b.centre, &b.state];
        recorder.dispatch(&update, &label, &tensors, &params, [TILE_WALKERS, 1, 1])
    }
}
