//! How much of an image is computed at a time, and the buffers for that.

use super::Network;
use super::bands::Bands;
use super::embedding::{Patches, Words, embedding_dim};
use super::network::{Kind, Size};
use crate::Result;
use serde::{Deserialize, Serialize};

/// Multiplications of a submission at most, unless a single layer has more: a third of a second on two CPU
/// cores, less on any GPU.
pub(super) const SUBMISSION: u64 = 5_000_000_000;

/// Bands of an image, and the words of every buffer.
pub(super) struct Layout {
    /// Where an image is cut.
    pub bands: Bands,
    /// Images at a time; 1 where there is more than one band.
    pub batch: u32,
    /// Words of a row of every value.
    pub row_words: Vec<usize>,
    /// Which buffer of the pool each value but the input lies in.
    pub slot: Vec<usize>,
    /// Words of the pool's buffers.
    pub pool: Vec<usize>,
    /// Words around the embeddings.
    pub around: Words,
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

/// What an [`Extractor`](super::Extractor) is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extraction {
    /// Height and width of the input in pixels.
    pub size: [u32; 2],
    /// Images at a time at most.
    pub batch: u32,
    /// How patches become embeddings.
    pub patches: Patches,
    /// How values are stored.
    pub precision: Precision,
    /// Bytes of the buffers from input to embedding at most. Where a batch needs more, it has fewer images,
    /// and where one image does, it is computed in bands of rows, with the same result; the lowest bands may
    /// still need more.
    pub memory: u64,
}

impl Extraction {
    /// For inputs of `size` `[height, width]`, one at a time, `concat` patches, f32, whatever memory it
    /// takes.
    pub fn new(size: [u32; 2]) -> Self {
        Self { size, batch: 1, patches: Patches::Concat, precision: Precision::F32, memory: u64::MAX }
    }
}

impl Extraction {
    /// Bytes of the buffers, and embeddings that are made at a time, on a device that binds `binding` bytes.
    ///
    /// # Errors
    /// [`crate::Error::InvalidOption`] where the input is too small.
    pub(crate) fn needs(&self, network: &Network, binding: u64) -> Result<(u64, usize)> {
        let sizes = network.sizes(self.size[0], self.size[1])?;
        let layout = Layout::choose(network, &sizes, self, binding);
        let dim = embedding_dim(network, &sizes, self.patches).max(1) as usize;
        let embeddings = |l: &Layout| l.around.embedding / dim * l.batch as usize;
        Ok(layout.map_or((0, 0), |l| (l.bytes_of_batch(), embeddings(&l))))
    }
}

/// Assigns every value a buffer so that none is overwritten while still needed, and the tapped ones never;
/// returns the assignment and the words that every buffer needs.
fn assign(network: &Network, words: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut last_use = vec![0; words.len()];
    for (i, layer) in network.layers.iter().enumerate() {
        for value in [Some(layer.input), layer.residual].into_iter().flatten() {
            last_use[value] = i + 1;
        }
    }
    for tap in &network.taps {
        last_use[tap.value] = usize::MAX;
    }
    // Value 0 is the input, which has a buffer of its own.
    let mut slot = vec![usize::MAX; words.len()];
    let (mut lens, mut free): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for value in 1..words.len() {
        let need = words[value];
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

impl Layout {
    /// The layout that computes most of an image at a time on a device that binds `binding` bytes: a batch of
    /// them, fewer, or one in bands as high as the memory allows, or as low as bands can be. `None` where
    /// `network` computes nothing.
    pub fn choose(network: &Network, sizes: &[Size], what: &Extraction, binding: u64) -> Option<Self> {
        let &Extraction { batch, patches, memory, .. } = what;
        let f16 = what.precision == Precision::F16;
        let of = |height| Self::new(network, sizes, patches, f16, height);
        let mut one = of(sizes[0][0])?;
        let fit = (binding / one.largest_bytes()).min(memory / one.bytes());
        one.batch = batch.max(1).min(fit.min(u64::from(u32::MAX)) as u32);
        if one.batch > 0 {
            return Some(one);
        }
        one.batch = 1;
        let fits = |layout: &Self| {
            let words = layout.largest_bytes() <= binding && layout.bytes() <= memory;
            words && layout.work(network, sizes) <= SUBMISSION
        };
        // Bands whose height is a multiple of this are alike but for the first and last few.
        let stride = network.strides().into_iter().max().unwrap_or(1);
        let (mut low, mut high) = (1, sizes[0][0].div_ceil(stride));
        let mut best = loop {
            if low >= high {
                return Some(one);
            }
            match of(low * stride) {
                Some(layout) => break layout,
                None => low += 1,
            }
        };
        // `low` is possible, whether it fits or not, and `high` is too high.
        while high - low > 1 {
            let middle = low.midpoint(high);
            match of(middle * stride).filter(&fits) {
                Some(layout) => (low, best) = (middle, layout),
                None => high = middle,
            }
        }
        Some(best)
    }

    fn new(network: &Network, sizes: &[Size], patches: Patches, f16: bool, height: u32) -> Option<Self> {
        let per_word = if f16 { 2 } else { 1 };
        let row_words: Vec<usize> = sizes.iter().map(|s| s[1] as usize * s[2] as usize / per_word).collect();
        let bands = Bands::new(network, sizes, &row_words, height)?;
        let words: Vec<usize> =
            bands.room.iter().zip(&row_words).map(|(r, w)| (r.head + r.rows) as usize * w).collect();
        let (slot, pool) = assign(network, &words);
        let around = bands.list.iter().map(|band| Words::new(network, sizes, patches, &band.grid));
        let around = around.fold(Words::default(), Words::max);
        Some(Self { bands, batch: 1, row_words, slot, pool, around })
    }

    /// Words of the input, with what is kept above the rows of a band.
    pub fn input(&self) -> usize {
        (self.bands.room[0].head + self.bands.room[0].rows) as usize * self.row_words[0]
    }

    /// Words of the rows that a value keeps from band to band.
    pub fn kept(&self, value: usize) -> usize {
        self.bands.room[value].kept as usize * self.row_words[value]
    }

    /// Words of all buffers for one image.
    fn words(&self) -> impl Iterator<Item = usize> {
        let Words { embedding, coarse, stages } = self.around;
        let kept = (0..self.row_words.len()).map(|v| self.kept(v));
        self.pool.iter().copied().chain(kept).chain([self.input(), embedding, coarse, stages])
    }

    /// Bytes of all buffers for one image.
    pub fn bytes(&self) -> u64 {
        self.words().map(|w| w as u64 * 4).sum::<u64>().max(1)
    }

    /// Bytes of all buffers.
    pub fn bytes_of_batch(&self) -> u64 {
        self.bytes() * u64::from(self.batch)
    }

    fn largest_bytes(&self) -> u64 {
        self.words().max().unwrap_or(0).max(1) as u64 * 4
    }

    /// Most multiplications of a layer in a band.
    fn work(&self, network: &Network, sizes: &[Size]) -> u64 {
        let rows = self.bands.room.iter().skip(1).map(|room| room.rows).enumerate();
        rows.map(|(layer, rows)| work(network, sizes, layer, rows)).max().unwrap_or(0)
    }
}

/// Multiplications of `rows` rows of output of a layer.
pub(super) fn work(network: &Network, sizes: &[Size], layer: usize, rows: u32) -> u64 {
    let shape = network.conv_shape(layer, sizes, 1);
    let layer = &network.layers[layer];
    let from_c = if matches!(layer.kind, Kind::Conv { .. }) { shape.in_c } else { 1 };
    let row = u64::from(shape.out_w) * u64::from(shape.out_c) * u64::from(layer.kernel.pow(2) * from_c);
    u64::from(rows) * row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{architecture, default_layers};

    const BINDING: u64 = 128 << 20;

    fn choose(name: &str, what: Extraction) -> Layout {
        let network = architecture(name).unwrap();
        let layers = default_layers(&network);
        let network = network.with_taps(&layers.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let sizes = network.sizes(what.size[0], what.size[1]).unwrap();
        let layout = Layout::choose(&network, &sizes, &what, BINDING).unwrap();
        assert_eq!(what.needs(&network, BINDING).unwrap().0, layout.bytes_of_batch());
        layout
    }

    #[test]
    fn fewer_images_come_before_bands() {
        let of = |memory| {
            let layout =
                choose("efficientnet-lite0", Extraction { batch: 8, memory, ..Extraction::new([224, 224]) });
            (layout.batch, layout.bands.list.len(), layout.bytes())
        };
        let (batch, bands, bytes) = of(u64::MAX);
        assert_eq!((batch, bands), (8, 1));
        assert_eq!(of(3 * bytes + 1), (3, 1, bytes));
        let (batch, bands, _) = of(bytes - 1);
        assert!(batch == 1 && (2..4).contains(&bands), "{bands}");
        // As low as bands can be, though that is too much: 14 of the image, and what is below it.
        let (batch, bands, _) = of(0);
        assert!(batch == 1 && bands >= 14, "{bands}");
    }

    #[test]
    fn the_largest_frames_fit_half_a_gibibyte() {
        for name in ["efficientnet-lite0", "efficientnet-lite2", "resnet18", "wide-resnet50-2"] {
            for precision in [Precision::F32, Precision::F16] {
                let memory = 512 << 20;
                let what = Extraction { batch: 8, precision, memory, ..Extraction::new([4096, 4096]) };
                let layout = choose(name, what);
                let bands = layout.bands.list.len();
                println!("{name} {precision:?}: {bands} bands, {} MiB", layout.bytes() >> 20);
                assert!(layout.bytes() <= memory && layout.largest_bytes() <= BINDING, "{name}");
                assert!((2..=64).contains(&bands), "{name}: {bands}");
            }
        }
    }
}
