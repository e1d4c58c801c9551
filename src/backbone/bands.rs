//! An image in horizontal bands of full width: which rows of every value a band computes, reads and leaves
//! for the next one. Nothing is computed twice: a value keeps the last of its rows for those layers that have
//! not read them for the last time.

use super::Network;
use super::network::{Kind, Size};
use crate::shapes::ConvShape;
use crate::steps::patches::upsampling::Upsample;
use std::ops::Range;

/// The way down an image.
#[derive(Clone, Debug)]
pub(super) struct Bands {
    /// From the top.
    pub list: Vec<Band>,
    /// What every value needs room for.
    pub room: Vec<Room>,
}

/// One step of it.
#[derive(Clone, Debug)]
pub(super) struct Band {
    /// Rows of every value that are computed here; those above were before.
    pub rows: Vec<Range<u32>>,
    /// First row of every value that this band reads, and first one that a later band does; none do from the
    /// end of `rows` on.
    pub kept: Vec<Range<u32>>,
    /// Values above whose row 0 a window reads zeros.
    pub zeros: Vec<bool>,
    /// Rows of the grid of patches that are made of it.
    pub grid: Range<u32>,
}

/// Rows of a value in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    /// Above those that a band computes: those kept from before it, and what brings the start of a window to
    /// where a buffer can be bound.
    pub head: u32,
    /// That a band computes.
    pub rows: u32,
    /// That are kept from band to band.
    pub kept: u32,
}

/// Rows of a value that a layer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Row of the image that it starts with; the rows from there to 0 are zeros.
    pub first: i64,
    /// Rows above those of the band.
    pub above: u32,
    /// Rows in all.
    pub height: u32,
}

/// Rows that a value's window starts in steps of, given the words of a row: a binding begins at a multiple of
/// 256 bytes.
pub(super) fn step(row_words: usize) -> u32 {
    let mut step = 64;
    while step > 1 && (step / 2 * row_words).is_multiple_of(64) {
        step /= 2;
    }
    step as u32
}

impl Band {
    /// Rows of `value` from row `first` on, or a few more above it.
    pub fn window(&self, value: usize, first: i64, step: u32) -> Window {
        let rows = &self.rows[value];
        let above = (i64::from(rows.start) - first).max(0) as u32;
        let above = above.next_multiple_of(step);
        let first = i64::from(rows.start) - i64::from(above);
        Window { first, above, height: above + rows.end - rows.start }
    }

    /// Rows that `value` has kept from the bands before.
    pub fn carried(&self, value: usize) -> u32 {
        self.rows[value].start - self.kept[value].start
    }

    /// Rows of `value` that wait for later bands.
    pub fn left(&self, value: usize) -> u32 {
        self.rows[value].end - self.kept[value].end
    }
}

/// The first row of its input that output row `row` of a layer reads, padding included.
pub(super) fn first_read(shape: &ConvShape, row: u32) -> i64 {
    i64::from(row) * i64::from(shape.stride) - i64::from(shape.pad_top)
}

/// Rows of output that `have` rows of input are enough for.
fn outputs(shape: &ConvShape, have: u32) -> u32 {
    if have == shape.in_h {
        return shape.out_h;
    }
    match (i64::from(have) - first_read(shape, 0)).checked_sub(i64::from(shape.kernel_h)) {
        Some(over @ 0..) => ((over / i64::from(shape.stride)) as u32 + 1).min(shape.out_h),
        _ => 0,
    }
}

/// Rows of tap `tap` that row `row` of the grid is made of: 3x3 neighbourhoods of the rows that it lies
/// between.
pub(super) fn patch_rows(network: &Network, sizes: &[Size], tap: usize, row: u32) -> Range<u32> {
    let h = |tap: usize| sizes[network.taps[tap].value][0];
    let own = if tap == 0 { row..row + 1 } else { Upsample::touched(row, h(tap), h(0)) };
    own.start.saturating_sub(1)..(own.end + 1).min(h(tap))
}

impl Bands {
    /// Bands of `height` rows of input, or what is left, until everything is computed; `row_words` are the
    /// words of a row of every value. `None` where bands are so low that maximum pooling would begin inside
    /// of one.
    pub fn new(network: &Network, sizes: &[Size], row_words: &[usize], height: u32) -> Option<Self> {
        let shapes: Vec<ConvShape> =
            (0..network.layers.len()).map(|i| network.conv_shape(i, sizes, 1)).collect();
        let mut bands = Self { list: Vec::new(), room: vec![Room::default(); sizes.len()] };
        let (mut have, mut kept, mut grid) = (vec![0; sizes.len()], vec![0; sizes.len()], 0);
        let strides = network.strides();
        while have.iter().zip(sizes).any(|(have, size)| *have < size[0]) {
            let mut after = vec![(have[0] + height).min(sizes[0][0])];
            for (i, (layer, shape)) in network.layers.iter().zip(&shapes).enumerate() {
                // Below the image deep layers have more rows to go than a band has room for.
                let most = if height < sizes[0][0] { height.div_ceil(strides[i + 1]) } else { shape.out_h };
                let rows = outputs(shape, after[layer.input]).min(have[i + 1] + most);
                after.push(layer.residual.map_or(rows, |r| rows.min(after[r])));
            }
            let ready = |row: u32| {
                network
                    .taps
                    .iter()
                    .enumerate()
                    .all(|(i, tap)| patch_rows(network, sizes, i, row).end <= after[tap.value])
            };
            let from = grid;
            while grid < sizes[network.taps[0].value][0] && ready(grid) {
                grid += 1;
            }
            // What is read for the last time below a row may go; the rows of the grid come last.
            let mut next = after.clone();
            let mut need = |value: usize, row: i64| {
                next[value] = next[value].min(row.max(0).min(u32::MAX.into()) as u32);
            };
            for (i, (layer, shape)) in network.layers.iter().zip(&shapes).enumerate() {
                if after[i + 1] < shape.out_h {
                    need(layer.input, first_read(shape, after[i + 1]));
                    layer.residual.into_iter().for_each(|r| need(r, after[i + 1].into()));
                }
            }
            for (i, tap) in network.taps.iter().enumerate() {
                if grid < sizes[network.taps[0].value][0] {
                    need(tap.value, patch_rows(network, sizes, i, grid).start.into());
                }
            }
            let ranges = |from: &[u32], to: &[u32]| from.iter().zip(to).map(|(f, t)| *f..*t).collect();
            let mut band = Band {
                rows: ranges(&have, &after),
                kept: ranges(&kept, &next),
                zeros: vec![false; sizes.len()],
                grid: from..grid,
            };
            bands.count(network, sizes, row_words, &shapes, &mut band)?;
            bands.list.push(band);
            (have, kept) = (after, next);
        }
        Some(bands)
    }

    /// Makes room for the windows of `band`, and finds which of them begin above the image.
    fn count(
        &mut self,
        network: &Network,
        sizes: &[Size],
        row_words: &[usize],
        shapes: &[ConvShape],
        band: &mut Band,
    ) -> Option<()> {
        for (value, room) in self.room.iter_mut().enumerate() {
            room.rows = room.rows.max(band.rows[value].end - band.rows[value].start);
            room.kept = room.kept.max(band.left(value));
            room.head = room.head.max(band.carried(value).next_multiple_of(step(row_words[value])));
        }
        let mut reads: Vec<(usize, i64, bool)> = Vec::new();
        for (i, (layer, shape)) in network.layers.iter().zip(shapes).enumerate() {
            if !band.rows[i + 1].is_empty() {
                let row = band.rows[i + 1].start;
                reads.push((layer.input, first_read(shape, row), layer.kind == Kind::MaxPool));
                reads.extend(layer.residual.map(|r| (r, row.into(), false)));
            }
        }
        if !band.grid.is_empty() {
            reads.extend(network.taps.iter().enumerate().map(|(i, tap)| {
                (tap.value, patch_rows(network, sizes, i, band.grid.start).start.into(), false)
            }));
        }
        for (value, first, never_zeros) in reads {
            let window = band.window(value, first.max(0), step(row_words[value]));
            self.room[value].head = self.room[value].head.max(window.above);
            band.zeros[value] |= window.first < 0;
            if never_zeros && window.first < 0 && first < 0 {
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{architectures, default_layers};

    /// Every row of every value is computed once, after what it reads and while that is kept.
    #[test]
    fn a_band_reads_what_is_there() {
        for network in architectures() {
            let layers = default_layers(&network);
            let network = network.with_taps(&layers.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
            for (size, height) in [([224, 96], 32), ([250, 41], 16), ([97, 64], 48), ([128, 96], 1000)] {
                let sizes = network.sizes(size[0], size[1]).unwrap();
                let words: Vec<usize> = sizes.iter().map(|s| (s[1] * s[2]) as usize).collect();
                let bands = Bands::new(&network, &sizes, &words, height).unwrap();
                let mut done = vec![0; sizes.len()];
                let mut grid = 0;
                for band in &bands.list {
                    let holds = |value: usize, rows: Range<u32>| {
                        assert!(rows.start >= band.kept[value].start && rows.end <= band.rows[value].end);
                    };
                    for (value, rows) in band.rows.iter().enumerate() {
                        assert_eq!(rows.start, done[value]);
                        assert!(band.carried(value) <= bands.room[value].head);
                        done[value] = rows.end;
                    }
                    for (i, layer) in network.layers.iter().enumerate() {
                        let shape = network.conv_shape(i, &sizes, 1);
                        for row in band.rows[i + 1].clone() {
                            let first = first_read(&shape, row);
                            let end = (first + i64::from(shape.kernel_h)).min(shape.in_h.into());
                            holds(layer.input, first.max(0) as u32..end as u32);
                            layer.residual.into_iter().for_each(|r| holds(r, row..row + 1));
                        }
                    }
                    assert_eq!(band.grid.start, grid);
                    grid = band.grid.end;
                    for (i, tap) in network.taps.iter().enumerate() {
                        band.grid.clone().for_each(|row| {
                            holds(tap.value, patch_rows(&network, &sizes, i, row));
                        });
                    }
                }
                assert!(
                    done.iter().zip(&sizes).all(|(d, s)| *d == s[0])
                        && grid == sizes[network.taps[0].value][0]
                );
            }
        }
    }

    #[test]
    fn windows_begin_where_a_buffer_can_be_bound() {
        for (words, rows) in [(64, 1), (640, 1), (32, 2), (96, 2), (4, 16), (2, 32), (188, 16)] {
            assert_eq!(step(words), rows, "{words}");
        }
        let kept = std::iter::once(0..20).collect();
        let rows = std::iter::once(10..30).collect();
        let band = Band { rows, kept, zeros: vec![false], grid: 0..0 };
        assert_eq!(band.window(0, 7, 1), Window { first: 7, above: 3, height: 23 });
        assert_eq!(band.window(0, 7, 16), Window { first: -6, above: 16, height: 36 });
        assert_eq!(band.window(0, 10, 16), Window { first: 10, above: 0, height: 20 });
        assert_eq!(band.window(0, 12, 16), Window { first: 10, above: 0, height: 20 });
    }
}
