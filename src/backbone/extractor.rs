//! Image batch -> patch embeddings: the layer table as one recorded plan.

use super::network::{Kind, Size};
use super::{Network, WeightFile};
use crate::gpu::{Device, Plan, Recorder, Tensor};
use crate::steps::network::conv::Conv;
use crate::steps::network::depthwise::Depthwise;
use crate::steps::network::pool::MaxPool;
use crate::steps::patches::means::PatchMean;
use crate::steps::patches::pooling::Pooled;
use crate::steps::patches::pooling::STAGE_VALUES;
use crate::steps::patches::upsampling::Upsample;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Multiplications of a submission at most, unless a single layer has more: a third of a second on two CPU
/// cores, less on any GPU.
const SUBMISSION: u64 = 5_000_000_000;

/// How the patches of the stages become one vector (docs/method.md, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patches {
    /// 3x3 mean of each stage, upsampled to the first stage's grid, side by side.
    Concat,
    /// 3x3 neighbourhood of each stage, averaged adaptively to 1024 values, upsampled, side by side, averaged
    /// adaptively.
    Pooled {
        /// Values of an embedding, a multiple of 4.
        dim: u32,
    },
}

/// How the backbone's weights and activations are stored. Sums are f32 either way, and so are embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory traffic, and cooperative matrices where the adapter has them. A value is
    /// rounded by up to 2^-11 of itself wherever it is stored; values past 65 504 become 65 504.
    F16,
}

/// Values of a stage's patch with [`Patches::Pooled`].
const STAGE: u32 = STAGE_VALUES as u32;

/// A backbone on a device, with buffers for one batch.
pub struct Extractor {
    device: Device,
    network: Network,
    patches: Patches,
    sizes: Vec<Size>,
    weights: Vec<Option<(Tensor, Tensor)>>,
    batch: u32,
    input: Tensor,
    /// Buffers that layers take turns in, and which of them each value lies in.
    pool: Vec<Tensor>,
    slot: Vec<usize>,
    /// Patches of a coarse stage before upsampling.
    coarse: Option<Tensor>,
    /// Pooled patches of all stages, side by side; with one stage or `concat` that is the embedding, or
    /// nothing.
    stages: Option<Tensor>,
    embedding: Tensor,
    lengths: Lengths,
    plans: BTreeMap<u32, Plan>,
}

/// Values per image of the buffers between input and embedding.
struct Lengths {
    pool: Vec<usize>,
    coarse: Option<usize>,
    stages: Option<usize>,
    f16: bool,
}

/// Assigns every value a buffer so that none is overwritten while still needed, and the tapped ones never;
/// returns the assignment and the words that every buffer needs an image.
fn assign(network: &Network, sizes: &[Size]) -> (Vec<usize>, Vec<usize>) {
    let words = |s: &Size| s.iter().map(|&n| n as usize).product::<usize>();
    let mut last_use = vec![0; sizes.len()];
    for (i, layer) in network.layers.iter().enumerate() {
        for value in [Some(layer.input), layer.residual].into_iter().flatten() {
            last_use[value] = i + 1;
        }
    }
    for tap in &network.taps {
        last_use[tap.value] = usize::MAX;
    }
    // Value 0 is the input, which has a buffer of its own.
    let mut slot = vec![usize::MAX; sizes.len()];
    let (mut lens, mut free): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for value in 1..sizes.len() {
        let need = words(&sizes[value]);
        // The free buffer that has to grow least, and of those the smallest.
        let best = (0..free.len()).min_by_key(|&f| (need.saturating_sub(lens[free[f]]), lens[free[f]]));
        slot[value] = match best {
            Some(f) => free.swap_remove(f),
            None => {
                lens.push(0);
                lens.len() - 1
            }
        };
        lens[slot[value]] = lens[slot[value]].max(need);
        for old in 1..value {
            if last_use[old] == value {
                free.push(slot[old]);
            }
        }
        if last_use[value] == 0 {
            free.push(slot[value]);
        }
    }
    (slot, lens)
}

impl Extractor {
    /// Prepares `network` for square inputs of `crop` pixels, at most `batch` images at a time, and `concat`
    /// patches.
    ///
    /// # Errors
    /// As [`Extractor::with_patches`].
    pub fn new(
        device: &Device,
        network: Network,
        weights: &WeightFile,
        crop: u32,
        batch: u32,
    ) -> Result<Self> {
        Self::with_patches(device, network, weights, [crop; 2], batch, Patches::Concat, Precision::F32)
    }

    /// Prepares `network` for inputs of `[height, width]` pixels and at most `batch` images at a time (fewer
    /// where a buffer would pass what the device binds).
    ///
    /// # Errors
    /// [`Error::Weights`] where the file does not fit the network, [`Error::InvalidOption`] where the input is
    /// too small, [`Error::Limit`] where not even one image fits.
    pub fn with_patches(
        device: &Device,
        network: Network,
        weights: &WeightFile,
        [height, width]: [u32; 2],
        batch: u32,
        patches: Patches,
        precision: Precision,
    ) -> Result<Self> {
        let f16 = precision == Precision::F16;
        let sizes = network.sizes(height, width)?;
        let folded = weights.fold(&network)?;
        let (slot, lens) = assign(&network, &sizes);
        let Some(first) = network.taps.first() else {
            return Err(Error::InvalidOption(format!("{}: no layer is tapped", network.name)));
        };
        let grid = sizes[first.value];
        let positions = grid[0] as usize * grid[1] as usize;
        let dim = embedding_dim(&network, &sizes, patches);
        let joined = match patches {
            Patches::Pooled { dim } => {
                let joined = network.taps.len() as u32 * STAGE;
                (joined != dim).then_some(positions * joined as usize)
            }
            Patches::Concat => None,
        };
        let coarse = network
            .taps
            .iter()
            .skip(1)
            .map(|t| {
                let [h, w, c] = sizes[t.value];
                let values = if patches == Patches::Concat { c } else { STAGE };
                h as usize * w as usize * values as usize
            })
            .max();
        let input_len = height as usize * width as usize * 4;
        let largest = lens
            .iter()
            .copied()
            .chain([input_len, positions * dim as usize])
            .chain(joined)
            .chain(coarse)
            .max()
            .unwrap_or(1);
        let fits = device.caps().max_binding / (largest as u64 * 4);
        let batch = batch.clamp(1, fits.max(1).min(u64::from(u32::MAX)) as u32);
        let input_words = input_len * batch as usize;
        let mut this = Self {
            weights: folded
                .iter()
                .zip(&network.layers)
                .map(|(f, layer)| {
                    let Some(f) = f else { return Ok(None) };
                    let w = match f16 {
                        true => device.upload_f16(&f.w, &layer.weight)?,
                        false => device.upload(&f.w, &layer.weight)?,
                    };
                    Ok(Some((w, device.upload(&f.bias, &layer.norm)?)))
                })
                .collect::<Result<_>>()?,
            input: match f16 {
                true => device.alloc_f16(input_words, "input")?,
                false => device.alloc(input_words, "input")?,
            },
            pool: Vec::new(),
            coarse: None,
            stages: None,
            embedding: device.alloc(positions * dim as usize * batch as usize, "embedding")?,
            lengths: Lengths { pool: lens, coarse, stages: joined, f16 },
            device: device.clone(),
            network,
            patches,
            sizes,
            batch,
            slot,
            plans: BTreeMap::new(),
        };
        // Now rather than with the first batch: where memory is out, that is said before the work.
        this.wake()?;
        Ok(this)
    }

    /// Makes the buffers between input and embedding.
    fn wake(&mut self) -> Result<()> {
        let Self { device, batch, lengths, .. } = self;
        let of = |len: usize, label: &str| device.alloc(len * *batch as usize, label);
        let stored = |len: usize| match lengths.f16 {
            true => device.alloc_f16(len * *batch as usize, "activations"),
            false => of(len, "activations"),
        };
        self.pool = lengths.pool.iter().map(|&len| stored(len)).collect::<Result<_>>()?;
        self.coarse = lengths.coarse.map(|len| of(len, "coarse patches")).transpose()?;
        self.stages = lengths.stages.map(|len| of(len, "pooled stages")).transpose()?;
        Ok(())
    }

    /// Gives back the memory between input and embedding until the next [`Extractor::plan`]; weights stay.
    pub fn rest(&mut self) {
        self.plans.clear();
        self.pool.clear();
        (self.coarse, self.stages) = (None, None);
    }

    /// Images that [`Extractor::plan`] takes at most.
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// Rows and columns of the grid of patches.
    pub fn grid(&self) -> [u32; 2] {
        let [h, w, _] = self.sizes[self.network.taps[0].value];
        [h, w]
    }

    /// Values of an embedding.
    pub fn dim(&self) -> u32 {
        embedding_dim(&self.network, &self.sizes, self.patches)
    }

    /// The network that is run.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Normalised input, `[batch][height][width][4]`.
    pub fn input(&self) -> &Tensor {
        &self.input
    }

    /// Where the plan leaves the embeddings, `[batch][positions][dim]`.
    pub fn embedding(&self) -> &Tensor {
        &self.embedding
    }

    /// The last layer's output after a plan has run, `[batch][h][w][c]`, and its `[h, w, c]`.
    pub fn last_value(&self) -> (&Tensor, Size) {
        let last = self.sizes.len() - 1;
        (self.value(last), self.sizes[last])
    }

    /// The output of tap `tap` after a plan has run, `[batch][h][w][c]`, and its `[h, w, c]`.
    ///
    /// # Panics
    /// Where the network has no such tap.
    pub fn tap(&self, tap: usize) -> (&Tensor, Size) {
        let value = self.network.taps[tap].value;
        (self.value(value), self.sizes[value])
    }

    fn value(&self, value: usize) -> &Tensor {
        if value == 0 { &self.input } else { &self.pool[self.slot[value]] }
    }

    /// The recorded work for `images` images, from [`Extractor::input`] to [`Extractor::embedding`].
    ///
    /// # Errors
    /// [`Error::Limit`] and [`Error::Device`] from recording.
    pub fn plan(&mut self, images: u32) -> Result<&Plan> {
        if !self.plans.contains_key(&images) {
            if self.pool.is_empty() {
                self.wake()?;
            }
            let mut recorder = Recorder::new(&self.device);
            self.record(&mut recorder, images)?;
            self.plans.insert(images, recorder.finish()?);
        }
        self.plans.get(&images).ok_or_else(|| Error::Device("a plan vanished".into()))
    }

    fn record(&self, recorder: &mut Recorder, images: u32) -> Result<()> {
        if images > self.batch {
            return Err(Error::Limit(format!("{images} images in a batch of {}", self.batch)));
        }
        let mut since_cut = 0;
        for (i, layer) in self.network.layers.iter().enumerate() {
            let shape = self.network.conv_shape(i, &self.sizes, images);
            let from_c = if matches!(layer.kind, Kind::Conv { .. }) { shape.in_c } else { 1 };
            let work = shape.output_len() as u64 * u64::from(layer.kernel.pow(2) * from_c);
            if since_cut > 0 && since_cut + work > SUBMISSION {
                recorder.cut();
                since_cut = 0;
            }
            since_cut += work;
            let (x, c) = (self.value(layer.input), self.value(i + 1));
            let activation = layer.activation;
            match (layer.kind, &self.weights[i]) {
                (Kind::Conv { .. }, Some((w, bias))) => {
                    let residual = layer.residual.map(|r| self.value(r));
                    Conv { x, w, bias, residual, c, shape, activation }.record(recorder)?;
                }
                (Kind::Depthwise, Some((w, bias))) => {
                    Depthwise { x, w, bias, c, shape, activation }.record(recorder)?;
                }
                (_, None) => MaxPool { x, c, shape }.record(recorder)?,
                (Kind::MaxPool, Some(_)) => {}
            }
        }
        self.record_patches(recorder, images)
    }

    /// Joins the tapped values to embeddings.
    fn record_patches(&self, recorder: &mut Recorder, images: u32) -> Result<()> {
        let [grid_h, grid_w] = self.grid();
        let (c, row) = match self.patches {
            Patches::Concat => (&self.embedding, self.dim()),
            Patches::Pooled { .. } => {
                (self.stages.as_ref().unwrap_or(&self.embedding), self.network.taps.len() as u32 * STAGE)
            }
        };
        let mut to = 0;
        for (i, tap) in self.network.taps.iter().enumerate() {
            let [h, w, channels] = self.sizes[tap.value];
            let (shape, x) = ([images, h, w, channels], self.value(tap.value));
            let values = if self.patches == Patches::Concat { channels } else { STAGE };
            // The first stage goes to its columns, later ones take the way over their own grid.
            let (patches, patch_row, patch_to) = match &self.coarse {
                Some(coarse) if i > 0 => (coarse, values, 0),
                _ => (c, row, to),
            };
            match self.patches {
                Patches::Concat => {
                    PatchMean { x, c: patches, shape, row: patch_row, to: patch_to }.record(recorder)?;
                }
                Patches::Pooled { .. } => {
                    Pooled { x, c: patches, shape, side: 3, m: STAGE, row: patch_row, to: patch_to }
                        .record(recorder)?;
                }
            }
            if i > 0 {
                let shape = [images, h, w, values];
                Upsample { x: patches, c, shape, out: [grid_h, grid_w], row, to }.record(recorder)?;
            }
            to += values;
        }
        match (self.patches, &self.stages) {
            (Patches::Pooled { dim }, Some(x)) => {
                let shape = [images, grid_h, grid_w, row];
                Pooled { x, c: &self.embedding, shape, side: 1, m: dim, row: dim, to: 0 }.record(recorder)
            }
            _ => Ok(()),
        }
    }
}

/// Values of an embedding.
pub(crate) fn embedding_dim(network: &Network, sizes: &[Size], patches: Patches) -> u32 {
    match patches {
        Patches::Concat => network.taps.iter().map(|t| sizes[t.value][2]).sum(),
        Patches::Pooled { dim } => dim,
    }
}
