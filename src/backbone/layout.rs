//! How much of an image is computed at a time, and the buffers for that.

use super::Network;
use super::bands::Bands;
use super::embedding::{Patches, Words};
use super::network::{Kind, Size};

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

/// What a layout has to keep to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Images at a time at most.
    pub batch: u32,
    /// Bytes of one buffer at most.
    pub binding: u64,
    /// Bytes of all at most, if bands can be as low as that.
    pub memory: u64,
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
    /// The layout that computes most of an image at a time: `batch` of them, fewer, or one in bands as high as
    /// `bounds` allow, or as low as bands can be. `None` where `network` computes nothing.
    pub fn choose(
        network: &Network,
        sizes: &[Size],
        patches: Patches,
        f16: bool,
        bounds: Bounds,
    ) -> Option<Self> {
        let of = |height| Self::new(network, sizes, patches, f16, height);
        let mut one = of(sizes[0][0])?;
        let fit = (bounds.binding / one.largest_bytes()).min(bounds.memory / one.bytes());
        one.batch = bounds.batch.min(fit.min(u64::from(u32::MAX)) as u32);
        if one.batch > 0 {
            return Some(one);
        }
        one.batch = 1;
        let fits = |layout: &Self| {
            let words = layout.largest_bytes() <= bounds.binding && layout.bytes() <= bounds.memory;
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

    fn choose(name: &str, size: [u32; 2], f16: bool, bounds: Bounds) -> Layout {
        let network = architecture(name).unwrap();
        let layers = default_layers(&network);
        let network = network.with_taps(&layers.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let sizes = network.sizes(size[0], size[1]).unwrap();
        Layout::choose(&network, &sizes, Patches::Concat, f16, bounds).unwrap()
    }

    #[test]
    fn fewer_images_come_before_bands() {
        let bounds = Bounds { batch: 8, binding: 128 << 20, memory: u64::MAX };
        let all = choose("efficientnet-lite0", [224, 224], false, bounds);
        assert_eq!((all.batch, all.bands.list.len()), (8, 1));
        let memory = 3 * all.bytes() + 1;
        let some = choose("efficientnet-lite0", [224, 224], false, Bounds { memory, ..bounds });
        assert_eq!((some.batch, some.bands.list.len()), (3, 1));
        let memory = all.bytes() - 1;
        let two = choose("efficientnet-lite0", [224, 224], false, Bounds { memory, ..bounds });
        assert_eq!((two.batch, two.bands.list.len()), (1, 2));
        // As low as bands can be, though that is too much.
        let low = choose("efficientnet-lite0", [224, 224], false, Bounds { memory: 0, ..bounds });
        assert_eq!((low.batch, low.bands.list.len()), (1, 14));
    }

    #[test]
    fn the_largest_frames_fit_half_a_gibibyte() {
        let bounds = Bounds { batch: 8, binding: 128 << 20, memory: 512 << 20 };
        for name in ["efficientnet-lite0", "efficientnet-lite2", "resnet18", "wide-resnet50-2"] {
            for f16 in [false, true] {
                let layout = choose(name, [4096, 4096], f16, bounds);
                assert!(
                    layout.bytes() <= bounds.memory && layout.largest_bytes() <= bounds.binding,
                    "{name}"
                );
                assert!(layout.bands.list.len() > 1 && layout.bands.list.len() <= 64, "{name}");
                println!("{name} {f16}: {} bands, {} MiB", layout.bands.list.len(), layout.bytes() >> 20);
            }
        }
    }
}
