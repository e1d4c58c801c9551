//! Image batch -> patch embeddings: the layer table as one recorded plan.

use super::network::{Kind, Size};
use super::{Network, WeightFile};
use crate::gpu::{Device, Plan, Recorder, Tensor};
use crate::ops::conv::Conv;
use crate::ops::depthwise::Depthwise;
use crate::ops::patch::PatchMean;
use crate::ops::pool::MaxPool;
use crate::ops::resample::Upsample;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// A backbone on a device, with buffers for one batch.
pub struct Extractor {
    device: Device,
    network: Network,
    sizes: Vec<Size>,
    weights: Vec<Option<(Tensor, Tensor)>>,
    batch: u32,
    input: Tensor,
    /// Buffers that layers take turns in, and which of them each value lies in.
    pool: Vec<Tensor>,
    slot: Vec<usize>,
    /// 3x3 means of a coarse stage before upsampling.
    coarse: Option<Tensor>,
    embedding: Tensor,
    plans: BTreeMap<u32, Plan>,
}

/// Assigns every value a buffer so that none is overwritten while still needed; returns the assignment and the words that
/// every buffer needs an image.
fn assign(network: &Network, sizes: &[Size]) -> (Vec<usize>, Vec<usize>) {
    let words = |s: &Size| s.iter().map(|&n| n as usize).product::<usize>();
    let mut last_use = vec![0; sizes.len()];
    for (i, layer) in network.layers.iter().enumerate() {
        for value in [Some(layer.input), layer.residual].into_iter().flatten() {
            last_use[value] = i + 1;
        }
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
            // A tap without a consumer is read right after it is made.
            free.push(slot[value]);
        }
    }
    (slot, lens)
}

impl Extractor {
    /// Prepares `network` for square inputs of `crop` pixels and at most `batch` images at a time (fewer where a buffer
    /// would pass what the device binds).
    ///
    /// # Errors
    /// [`Error::Weights`] where the file does not fit the network, [`Error::InvalidOption`] where the crop is too small,
    /// [`Error::Limit`] where not even one image fits.
    pub fn new(
        device: &Device,
        network: Network,
        weights: &WeightFile,
        crop: u32,
        batch: u32,
    ) -> Result<Self> {
        let sizes = network.sizes(crop, crop)?;
        let folded = weights.fold(&network)?;
        let (slot, lens) = assign(&network, &sizes);
        let Some(first) = network.taps.first() else {
            return Err(Error::InvalidOption(format!("{}: no layer is tapped", network.name)));
        };
        let grid = sizes[first.value];
        let dim: u32 = network.taps.iter().map(|t| sizes[t.value][2]).sum();
        let positions = grid[0] as usize * grid[1] as usize;
        let coarse = network
            .taps
            .iter()
            .skip(1)
            .map(|t| sizes[t.value].iter().map(|&n| n as usize).product::<usize>())
            .max();
        let input_len = crop as usize * crop as usize * 4;
        let largest = lens.iter().copied().chain([input_len, positions * dim as usize]).max().unwrap_or(1);
        let fits = device.caps().max_binding / (largest as u64 * 4);
        let batch = batch.clamp(1, fits.max(1).min(u64::from(u32::MAX)) as u32);
        let of = |len: usize, label: &str| device.alloc(len * batch as usize, label);
        Ok(Self {
            weights: folded
                .iter()
                .zip(&network.layers)
                .map(|(f, layer)| {
                    let Some(f) = f else { return Ok(None) };
                    Ok(Some((device.upload(&f.w, &layer.weight)?, device.upload(&f.bias, &layer.norm)?)))
                })
                .collect::<Result<_>>()?,
            input: of(input_len, "input")?,
            pool: lens.iter().map(|&len| of(len, "activations")).collect::<Result<_>>()?,
            coarse: coarse.map(|len| of(len, "coarse patches")).transpose()?,
            embedding: of(positions * dim as usize, "embedding")?,
            device: device.clone(),
            network,
            sizes,
            batch,
            slot,
            plans: BTreeMap::new(),
        })
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
        self.network.taps.iter().map(|t| self.sizes[t.value][2]).sum()
    }

    /// The network that is run.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Normalised input, `[batch][crop][crop][4]`.
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

    fn value(&self, value: usize) -> &Tensor {
        if value == 0 { &self.input } else { &self.pool[self.slot[value]] }
    }

    /// The recorded work for `images` images, from [`Extractor::input`] to [`Extractor::embedding`].
    ///
    /// # Errors
    /// [`Error::Limit`] and [`Error::Device`] from recording.
    pub fn plan(&mut self, images: u32) -> Result<&Plan> {
        if !self.plans.contains_key(&images) {
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
        for (i, layer) in self.network.layers.iter().enumerate() {
            let shape = self.network.conv_shape(i, &self.sizes, images);
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
            self.record_tap(recorder, i + 1, images)?;
        }
        Ok(())
    }

    /// Brings a tapped value into its columns of the embedding.
    fn record_tap(&self, recorder: &mut Recorder, value: usize, images: u32) -> Result<()> {
        let mut to = 0;
        for (i, tap) in self.network.taps.iter().enumerate() {
            let [h, w, c] = self.sizes[tap.value];
            if tap.value == value {
                let (shape, row, x) = ([images, h, w, c], self.dim(), self.value(value));
                match (&self.coarse, i) {
                    (Some(coarse), 1..) => {
                        PatchMean { x, c: coarse, shape, row: c, to: 0 }.record(recorder)?;
                        let out = self.grid();
                        Upsample { x: coarse, c: &self.embedding, shape, out, row, to }.record(recorder)?;
                    }
                    _ => PatchMean { x, c: &self.embedding, shape, row, to }.record(recorder)?,
                }
            }
            to += c;
        }
        Ok(())
    }
}
