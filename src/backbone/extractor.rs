//! Images to patch embeddings: the layer table as recorded plans.

use super::bands::{Band, first_read, step};
use super::embedding::{Joint, Patches, Words, embedding_dim};
use super::layout::{Extraction, Layout, Precision, SUBMISSION, work};
use super::network::{Kind, Size};
use super::{Network, WeightFile};
use crate::gpu::{Device, Plan, Recorder, Tensor};
use crate::shapes::ConvShape;
use crate::steps::network::conv::Conv;
use crate::steps::network::depthwise::Depthwise;
use crate::steps::network::pool::MaxPool;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// Part of the way from input to embeddings: all of it, for one or more images, or a band of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Rows of the input that [`Extractor::input`] has to hold.
    pub input: Range<u32>,
    /// Rows of the grid of patches whose embeddings are made. The first pieces of an image make none yet where
    /// bands are low, and the last ones need no more input.
    pub rows: Range<u32>,
}

/// A backbone on a device, with buffers for a batch or for a band of an image.
pub struct Extractor {
    device: Device,
    network: Network,
    patches: Patches,
    f16: bool,
    sizes: Vec<Size>,
    weights: Vec<Option<(Tensor, Tensor)>>,
    layout: Layout,
    pieces: Vec<Piece>,
    /// Input with what is kept above it, and its part for the caller.
    image: Tensor,
    input: Tensor,
    embedding: Tensor,
    between: Option<Between>,
    /// By images and piece.
    plans: BTreeMap<(u32, usize), Plan>,
}

/// The buffers between input and embedding.
struct Between {
    /// Buffers that values take turns in.
    pool: Vec<Tensor>,
    /// Rows of values that wait for the next band.
    kept: Vec<Option<Tensor>>,
    /// Patches of a coarse stage before upsampling.
    coarse: Option<Tensor>,
    /// Pooled patches of all stages, side by side; with one stage or `concat` that is the embedding, or
    /// nothing.
    stages: Option<Tensor>,
}

/// A buffer of the network's values.
fn values(device: &Device, f16: bool, words: usize, label: &str) -> Result<Tensor> {
    if f16 { device.alloc_f16(2 * words, label) } else { device.alloc(words, label) }
}

impl Extractor {
    /// Prepares `network` for square inputs of `crop` pixels, at most `batch` images at a time, and `concat`
    /// patches.
    ///
    /// # Errors
    /// As [`Extractor::with`].
    pub fn new(
        device: &Device,
        network: Network,
        weights: &WeightFile,
        crop: u32,
        batch: u32,
    ) -> Result<Self> {
        Self::with(device, network, weights, Extraction { batch, ..Extraction::new([crop; 2]) })
    }

    /// Prepares `network` for what `extraction` says, with fewer images at a time or in bands where a buffer
    /// would pass what the device binds.
    ///
    /// # Errors
    /// [`Error::Weights`] where the file does not fit the network, [`Error::InvalidOption`] where the input is
    /// too small, [`Error::Limit`] where not even the lowest bands fit.
    pub fn with(
        device: &Device,
        network: Network,
        weights: &WeightFile,
        extraction: Extraction,
    ) -> Result<Self> {
        let Extraction { size: [height, width], patches, precision, .. } = extraction;
        let f16 = precision == Precision::F16;
        let sizes = network.sizes(height, width)?;
        let folded = weights.fold(&network)?;
        if network.taps.is_empty() {
            return Err(Error::InvalidOption(format!("{}: no layer is tapped", network.name)));
        }
        let Some(layout) = Layout::choose(&network, &sizes, &extraction, device.caps().max_binding) else {
            return Err(Error::Internal(format!("{} has no bands", network.name)));
        };
        let images = layout.batch as usize;
        let above = layout.bands.room[0].head as usize * layout.row_words[0];
        let image = values(device, f16, layout.input() * images, "input")?;
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
                    Ok(Some((w.constant(), device.upload(&f.bias, &layer.norm)?)))
                })
                .collect::<Result<_>>()?,
            input: image.slice(above, image.len() - above),
            image,
            embedding: device.alloc(layout.around.embedding * images, "embedding")?,
            pieces: layout.bands.list.iter().map(Piece::of).collect(),
            between: None,
            device: device.clone(),
            network,
            patches,
            f16,
            sizes,
            layout,
            plans: BTreeMap::new(),
        };
        // Now rather than with the first batch: where memory is out, that is said before the work.
        this.between = Some(this.wake()?);
        Ok(this)
    }

    /// Makes the buffers between input and embedding.
    fn wake(&self) -> Result<Between> {
        let Self { device, layout, f16, .. } = self;
        let images = layout.batch as usize;
        let stored = |words: usize| values(device, *f16, words * images, "activations");
        let some =
            |words: usize, label: &str| (words > 0).then(|| device.alloc(words * images, label)).transpose();
        let kept = |value: usize| {
            let words = layout.kept(value);
            (words > 0).then(|| values(device, *f16, words, "rows for the next band")).transpose()
        };
        let Words { coarse, stages, .. } = layout.around;
        Ok(Between {
            pool: layout.pool.iter().map(|&words| stored(words)).collect::<Result<_>>()?,
            kept: (0..self.sizes.len()).map(kept).collect::<Result<_>>()?,
            coarse: some(coarse, "coarse patches")?,
            stages: some(stages, "pooled stages")?,
        })
    }

    /// Gives back the memory between input and embedding until the next [`Extractor::plan`]; weights stay.
    pub fn rest(&mut self) {
        self.plans.clear();
        self.between = None;
    }

    /// Images that [`Extractor::plan`] takes at most.
    pub fn batch(&self) -> u32 {
        self.layout.batch
    }

    /// The pieces in which images are computed, from the top: one, or, for one image at a time, bands of rows.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Bytes of the buffers from input to embedding.
    pub fn bytes(&self) -> u64 {
        self.layout.bytes_of_batch()
    }

    /// Bytes of the weights, with those of the textures that they are read from.
    pub fn weight_bytes(&self) -> u64 {
        let bytes = |(w, bias): &(Tensor, Tensor)| 4 * (w.len() + bias.len()) as u64 + w.texel_bytes();
        self.weights.iter().flatten().map(bytes).sum()
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

    /// Normalised input, `[batch][rows][width][4]` with the rows of a piece.
    pub fn input(&self) -> &Tensor {
        &self.input
    }

    /// Where a plan leaves the embeddings, `[batch][rows][columns][dim]` with the rows of a piece.
    pub fn embedding(&self) -> &Tensor {
        &self.embedding
    }

    /// The last layer's output after a plan has run, `[batch][h][w][c]`, and its `[h, w, c]`; `None` where
    /// images are computed in bands.
    pub fn last_value(&self) -> Option<(Tensor, Size)> {
        self.whole(self.sizes.len() - 1)
    }

    /// The output of tap `tap` after a plan has run, as [`Extractor::last_value`].
    pub fn tap(&self, tap: usize) -> Option<(Tensor, Size)> {
        self.whole(self.network.taps.get(tap)?.value)
    }

    fn whole(&self, value: usize) -> Option<(Tensor, Size)> {
        let between = self.between.as_ref().filter(|_| self.pieces.len() == 1)?;
        Some((self.buffer(between, value).clone(), self.sizes[value]))
    }

    fn buffer<'a>(&'a self, between: &'a Between, value: usize) -> &'a Tensor {
        if value == 0 { &self.image } else { &between.pool[self.layout.slot[value]] }
    }

    /// The recorded work on piece `piece` of `images` images, from [`Extractor::input`] to
    /// [`Extractor::embedding`]. The pieces of an image are run in order.
    ///
    /// # Errors
    /// [`Error::Limit`] and [`Error::Device`] from recording.
    pub fn plan(&mut self, images: u32, piece: usize) -> Result<&Plan> {
        let key = (images, piece);
        if !self.plans.contains_key(&key) {
            if self.between.is_none() {
                self.between = Some(self.wake()?);
            }
            let mut recorder = Recorder::new(&self.device);
            self.record(&mut recorder, images, piece)?;
            self.plans.insert(key, recorder.finish()?);
        }
        self.plans.get(&key).ok_or_else(|| Error::Internal("a plan vanished".into()))
    }

    fn record(&self, recorder: &mut Recorder, images: u32, piece: usize) -> Result<()> {
        if images > self.batch() {
            return Err(Error::Limit(format!("{images} images in a batch of {}", self.batch())));
        }
        let (Some(band), Some(between)) = (self.layout.bands.list.get(piece), &self.between) else {
            return Err(Error::Internal(format!("there is no piece {piece} of {}", self.pieces.len())));
        };
        let view = View { extractor: self, between, band, images };
        view.keep(recorder, 0, true);
        view.keep(recorder, 0, false);
        let mut since_cut = 0;
        for (i, layer) in self.network.layers.iter().enumerate() {
            view.keep(recorder, i + 1, true);
            let rows = &band.rows[i + 1];
            if rows.is_empty() {
                view.keep(recorder, i + 1, false);
                continue;
            }
            let layer_work = work(&self.network, &self.sizes, i, images * (rows.end - rows.start));
            if since_cut > 0 && since_cut + layer_work > SUBMISSION {
                recorder.cut();
                since_cut = 0;
            }
            since_cut += layer_work;
            let whole = self.network.conv_shape(i, &self.sizes, images);
            let first = first_read(&whole, rows.start);
            let (x, start, in_h) = view.from(layer.input, first);
            let pad_top = (start - first) as i32;
            let shape = ConvShape { in_h, out_h: rows.end - rows.start, pad_top, ..whole };
            let (x, c, activation) = (&x, &view.rows(i + 1), layer.activation);
            match (layer.kind, &self.weights[i]) {
                (Kind::Conv { .. }, Some((w, bias))) => {
                    let residual = layer.residual.map(|r| view.exactly(r, rows));
                    let residual = residual.as_ref();
                    Conv { x, w, bias, residual, c, shape, activation }.record(recorder)?;
                }
                (Kind::Depthwise, Some((w, bias))) => {
                    Depthwise { x, w, bias, c, shape, activation }.record(recorder)?;
                }
                (_, None) => MaxPool { x, c, shape }.record(recorder)?,
                (Kind::MaxPool, Some(_)) => {}
            }
            view.keep(recorder, i + 1, false);
        }
        let joint = Joint {
            network: &self.network,
            sizes: &self.sizes,
            patches: self.patches,
            coarse: between.coarse.as_ref(),
            stages: between.stages.as_ref(),
            embedding: &self.embedding,
        };
        joint.record(recorder, images, band, |value, row| view.from(value, row.into()))
    }
}

impl Piece {
    fn of(band: &Band) -> Self {
        Self { input: band.rows[0].clone(), rows: band.grid.clone() }
    }
}

/// The values of a band where they lie: in a buffer, the rows that it computes begin below the room for those
/// that it keeps.
struct View<'a> {
    extractor: &'a Extractor,
    between: &'a Between,
    band: &'a Band,
    images: u32,
}

impl View<'_> {
    fn buffer(&self, value: usize) -> (&Tensor, usize, usize) {
        let layout = &self.extractor.layout;
        let row = layout.row_words[value];
        (self.extractor.buffer(self.between, value), layout.bands.room[value].head as usize * row, row)
    }

    /// Rows of `value` that the band computes.
    fn rows(&self, value: usize) -> Tensor {
        let (buffer, head, row) = self.buffer(value);
        buffer.slice(head, self.band.rows[value].len() * row * self.images as usize)
    }

    /// Rows of `value` from row `first` on, or from a few rows above it where no buffer can be bound there:
    /// what they start with, and how many they are.
    fn from(&self, value: usize, first: i64) -> (Tensor, i64, u32) {
        let (buffer, head, row) = self.buffer(value);
        let window = self.band.window(value, first.max(0), step(row));
        let words = window.height as usize * row * self.images as usize;
        (buffer.slice(head - window.above as usize * row, words), window.first, window.height)
    }

    /// Rows `rows` of `value`, none of them below those of the band.
    fn exactly(&self, value: usize, rows: &Range<u32>) -> Tensor {
        let (buffer, head, row) = self.buffer(value);
        let above = (self.band.rows[value].start - rows.start) as usize;
        buffer.part(head - above * row, rows.len() * row * self.images as usize)
    }

    /// Brings the rows of `value` that were kept to where the band reads them (`back`), or those that later
    /// bands read to where they are kept.
    fn keep(&self, recorder: &mut Recorder, value: usize, back: bool) {
        let (buffer, head, row) = self.buffer(value);
        if back && self.band.zeros[value] {
            recorder.clear(&buffer.slice(0, head));
        }
        let Some(kept) = &self.between.kept[value] else { return };
        let (rows, waits) = (&self.band.rows[value], &self.band.kept[value]);
        let at = |first: u32| head + first as usize * row - rows.start as usize * row;
        let count = if back { self.band.carried(value) } else { self.band.left(value) };
        let words = count as usize * row;
        match (words, back) {
            (0, _) => {}
            (_, true) => recorder.copy(kept, 0, buffer, at(waits.start), words),
            (_, false) => recorder.copy(buffer, at(waits.end), kept, 0, words),
        }
    }
}
