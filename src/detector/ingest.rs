//! Images to embeddings: decoding beside the backbone.

use super::host::pictures;
use super::{Progress, Stage};
use crate::ahead::read_ahead;
use crate::backbone::{Extractor, Feed, Piece};
use crate::data::{Image, ImageSource, OwnedImage};
use crate::gpu::{Plan, Tensor};
use crate::settings::{ON_TOP, PICTURES};
use crate::{Error, Result};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pictures that are decoded at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Together {
    /// How many at most.
    pub images: usize,
    /// Bytes at most that pictures of a batch take on their way to the device ([`pictures`]), unless one alone
    /// takes more.
    pub bytes: u64,
    /// Bytes that a single one may take.
    pub most: u64,
}

impl Together {
    /// `images` of any size.
    pub fn any(images: usize) -> Self {
        Self { images, bytes: u64::MAX, most: u64::MAX }
    }

    /// To score up to `images` images of a batch within `memory` bytes.
    pub fn to_score(images: usize, memory: u64) -> Self {
        Self { images, bytes: (memory / 4).max(PICTURES), most: memory.max(2 * ON_TOP) }
    }

    /// Pictures of so many pixels that are decoded at a time.
    pub fn count(self, pixels: u64) -> u64 {
        (2..=self.images as u64)
            .take_while(|&count| pictures(pixels, count, u64::MAX) <= self.bytes)
            .last()
            .unwrap_or(1)
    }

    /// Runs of images of `source` from `start` on; sizes are read as the runs are asked for.
    fn runs(self, source: &dyn ImageSource, start: usize) -> impl Iterator<Item = Range<usize>> + Send {
        let mut next = start;
        std::iter::from_fn(move || {
            let first = next;
            let mut largest = 0;
            while next < source.len() && next - first < self.images {
                // Whoever loads an image says what is wrong with it. A source may have to load it to know its size.
                let size = if self.bytes == u64::MAX { Ok([0; 2]) } else { source.size(next) };
                let [w, h] = size.unwrap_or_default().map(u64::from);
                largest = largest.max(w * h);
                if next > first && pictures(largest, (next + 1 - first) as u64, u64::MAX) > self.bytes {
                    break;
                }
                next += 1;
            }
            (next > first).then_some(first..next)
        })
    }

    /// One at a time to be learnt from within `memory` bytes.
    fn to_fit(memory: u64) -> Self {
        Self { images: 1, bytes: u64::MAX, most: memory.max(2 * ON_TOP) }
    }

    /// Refuses an image that alone takes more than there is.
    pub fn check(&self, width: u32, height: u32) -> Result<()> {
        let need = pictures(u64::from(width) * u64::from(height), 1, 2);
        if need <= self.most {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(Error::InvalidOption(format!(
            "decoding {width}x{height} pixels takes {} MiB, the memory budget is {} MiB; --memory {}MiB would do",
            mib(need),
            mib(self.most),
            mib(need)
        )))
    }
}

/// Pixels of the largest image of `source`; whoever loads an image says what is wrong with it.
///
/// # Errors
/// [`Error::BadImages`] with those that alone take more than `memory` bytes, which a fit has.
pub(super) fn largest_of(source: &dyn ImageSource, memory: u64) -> Result<u64> {
    let one = Together::to_fit(memory);
    let pixels = |i: usize| -> Result<u64> {
        let [w, h] = source.size(i).unwrap_or_default();
        one.check(w, h).map_err(|e| unsuitable(e, source.name(i)))?;
        Ok(u64::from(w) * u64::from(h))
    };
    let all: Vec<Result<u64>> = (0..source.len()).into_par_iter().map(pixels).collect();
    let largest = all.iter().flatten().max().copied().unwrap_or(0);
    let bad = errors(0, all)?;
    if bad.is_empty() { Ok(largest) } else { Err(Error::BadImages { total: source.len(), bad }) }
}

/// Decodes `source` in batches of `batch` on other threads, one batch ahead, and hands them to `f` in order.
/// `check` refuses sizes that the caller has no use for.
///
/// # Errors
/// Those of `f`; [`Error::BadImages`] with every image that does not load or pass the check, for which the
/// images after the first such one are looked at, too. Images in batches before it have gone to `f`. At the
/// end `progress` hears what the source has to say of its images.
pub(super) fn decode_ahead<'s>(
    source: &'s dyn ImageSource,
    batch: Together,
    check: &(dyn Fn(u32, u32) -> Result<()> + Sync),
    progress: &dyn Progress,
    mut f: impl FnMut(usize, &[Cow<'s, OwnedImage>]) -> Result<()>,
) -> Result<()> {
    let total = source.len();
    // Busy while a batch is decoded, beside what becomes of the one before.
    let stage = tracing::info_span!("decode", images = total);
    let one = |i: usize| -> Result<Cow<'s, OwnedImage>> {
        let fits = |width, height| {
            let fits = batch.check(width, height).and_then(|()| check(width, height));
            fits.map_err(|e| unsuitable(e, source.name(i)))
        };
        // Before it takes the memory, where that is bounded and its size is known without it.
        if let (true, Ok([width, height])) = (batch.bytes < u64::MAX, source.size(i)) {
            fits(width, height)?;
        }
        let image = source.load(i)?;
        fits(image.width, image.height)?;
        Ok(image)
    };
    let several = |run: Range<usize>| -> Vec<Result<Cow<'s, OwnedImage>>> {
        stage.in_scope(|| run.into_par_iter().map(one).collect())
    };
    let end = AtomicUsize::new(total);
    let load = |run: &Range<usize>, images: &mut Vec<Cow<'s, OwnedImage>>| {
        // Not beside the ones that come.
        images.clear();
        let loaded = several(run.clone());
        if loaded.iter().any(Result::is_err) {
            end.store(run.end, Ordering::Relaxed);
            return Err(Error::BadImages { total, bad: errors(run.start, loaded)? });
        }
        *images = loaded.into_iter().collect::<Result<_>>()?;
        Ok(())
    };
    let read = read_ahead(batch.runs(source, 0), load, |run, images| f(run.start, images));
    let Err(Error::BadImages { mut bad, .. }) = read else {
        source.notes().iter().for_each(|note| progress.notice(note));
        return read;
    };
    // Nothing will come of the rest; one run names all that is wrong with it.
    for run in batch.runs(source, end.into_inner()) {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        bad.extend(errors(run.start, several(run))?);
    }
    Err(Error::BadImages { total, bad })
}

/// What is wrong with images of a batch that begins with number `start`; an error that is about no image
/// comes first.
pub(super) fn errors<T>(start: usize, loaded: Vec<Result<T>>) -> Result<Vec<(usize, Error)>> {
    let mut bad = Vec::new();
    for (slot, image) in loaded.into_iter().enumerate() {
        match image {
            Ok(_) => {}
            Err(
                e @ (Error::Cancelled
                | Error::Device(_)
                | Error::Lost(_)
                | Error::Memory(_)
                | Error::Internal(_)),
            ) => return Err(e),
            Err(e) => bad.push((start + slot, e)),
        }
    }
    Ok(bad)
}

/// An error about the size of an image, with its name.
pub(super) fn unsuitable(error: Error, name: String) -> Error {
    match error {
        Error::InvalidOption(reason) => Error::Image {
            path: name.into(),
            reason,
            remedy: "Leave the image out, or cut it into pieces nearer to the frame's shape",
        },
        other => other,
    }
}

/// Embeddings that lie on the device: of patches numbered image by image.
pub(crate) struct Run<'a> {
    /// The first patch.
    pub first: usize,
    /// How many there are.
    pub count: usize,
    /// `[count][dim]`.
    pub x: &'a Tensor,
}

/// Runs every image of `source` through the backbone and hands out the embeddings in order: of a batch of
/// images, or of some rows of the grid of one.
pub(crate) fn embed(
    extractor: &mut Extractor,
    feed: &mut Feed,
    source: &dyn ImageSource,
    batch: Together,
    progress: &dyn Progress,
    mut f: impl FnMut(Run<'_>) -> Result<()>,
) -> Result<()> {
    let images = source.len() as u64;
    let [height, columns] = extractor.grid().map(|side| side as usize);
    let embedding = extractor.embedding().clone();
    progress.update(Stage::Features, 0, images);
    let check = feed.check();
    decode_ahead(source, batch, &check, progress, |start, loaded| {
        let views = loaded.iter().map(|i| i.as_image()).collect::<Result<Vec<_>>>()?;
        let name = |slot: usize| source.name(start + slot);
        run_backbone(extractor, feed, &views, &name, |feed, plan, piece| {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            feed.submit(&[plan])?;
            let first = (start * height + piece.rows.start as usize) * columns;
            let count = views.len() * piece.rows.len() * columns;
            if count > 0 { f(Run { first, count, x: &embedding }) } else { Ok(()) }
        })?;
        progress.update(Stage::Features, (start + loaded.len()) as u64, images);
        Ok(())
    })
}

/// Takes a batch of decoded images to the backbone, piece by piece: `submit` has to submit what the feed has,
/// and then the plan that makes the embeddings of the piece. `name` says which image of the batch an error is
/// about.
pub(super) fn run_backbone(
    extractor: &mut Extractor,
    feed: &mut Feed,
    images: &[Image<'_>],
    name: &dyn Fn(usize) -> String,
    mut submit: impl FnMut(&mut Feed, &Plan, &Piece) -> Result<()>,
) -> Result<()> {
    // What a batch left behind that failed.
    feed.take();
    let input = extractor.input().clone();
    for (i, piece) in extractor.pieces().to_vec().iter().enumerate() {
        for (slot, image) in images.iter().enumerate().filter(|_| !piece.input.is_empty()) {
            let size = [image.width(), image.height()];
            feed.make_room(size, &piece.input).map_err(|e| unsuitable(e, name(slot)))?;
        }
        feed.push(images, &input, 0, &piece.input)?;
        submit(feed, extractor.plan(images.len() as u32, i)?, piece)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MemorySource;

    #[test]
    fn large_pictures_come_a_few_at_a_time() {
        let image =
            |side: u32| OwnedImage { width: side, height: side, pixels: vec![0; 3 * (side * side) as usize] };
        let images = [10, 10, 1500, 10, 10, 1000, 1000].map(image);
        let runs = |bytes| {
            let together = Together { images: 3, bytes, most: 1 << 30 };
            together.runs(&MemorySource(&images), 0).collect::<Vec<_>>()
        };
        assert_eq!(runs(1 << 30), [0..3, 3..6, 6..7]);
        // One of 1500 pixels a side takes 29 MB, two of 1000 take 23, or 26 where two threads decode.
        assert_eq!(runs(27_000_000), [0..2, 2..3, 3..5, 5..7]);
        assert_eq!(runs(0), [0..1, 1..2, 2..3, 3..4, 4..5, 5..6, 6..7]);
        let together = Together { images: 3, bytes: 27_000_000, most: 27_000_000 };
        assert_eq!([100, 1_000_000, 2_250_000].map(|pixels| together.count(pixels)), [3, 2, 1]);
        assert!(together.check(1000, 1000).is_ok());
        let says = together.check(1500, 1500).unwrap_err().to_string();
        assert!(
            says.contains("1500x1500 pixels takes 28 MiB, the memory budget is 26 MiB; --memory 28MiB"),
            "{says}"
        );
    }
}
