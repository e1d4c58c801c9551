//! Images to embeddings: decoding beside the backbone.

use super::{Progress, Stage};
use crate::ahead::read_ahead;
use crate::backbone::{Extractor, Feed};
use crate::data::{Image, ImageSource, OwnedImage};
use crate::gpu::{Plan, Submission, Tensor};
use crate::{Error, Result};
use rayon::prelude::*;
use std::borrow::Cow;

/// Decodes `source` in batches of `batch` on other threads, one batch ahead, and hands them to `f` in order.
pub(super) fn decode_ahead<'s>(
    source: &'s dyn ImageSource,
    batch: usize,
    mut f: impl FnMut(usize, &[Cow<'s, OwnedImage>]) -> Result<()>,
) -> Result<()> {
    let load = |&start: &usize, images: &mut Vec<Cow<'s, OwnedImage>>| {
        let range = start..(start + batch).min(source.len());
        let loaded: Vec<_> = range.into_par_iter().map(|i| source.load(i)).collect();
        // Of several bad images the first is named.
        *images = loaded.into_iter().collect::<Result<_>>()?;
        Ok(())
    };
    read_ahead((0..source.len()).step_by(batch), load, |start, images| f(start, images))
}

/// Runs every image of `source` through the backbone and hands out the embeddings `[count][positions][dim]`,
/// which lie on the device, a batch at a time with the number of its first image.
pub(crate) fn embed(
    extractor: &mut Extractor,
    feed: &mut Feed,
    source: &dyn ImageSource,
    progress: &dyn Progress,
    mut f: impl FnMut(usize, usize, &Tensor) -> Result<()>,
) -> Result<()> {
    let (batch, images) = (extractor.batch() as usize, source.len() as u64);
    progress.update(Stage::Features, 0, images);
    decode_ahead(source, batch, |start, loaded| {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let views = loaded.iter().map(|i| i.as_image()).collect::<Result<Vec<_>>>()?;
        run_backbone(extractor, feed, &views, &|slot| source.name(start + slot), &[])?;
        f(start, loaded.len(), extractor.embedding())?;
        progress.update(Stage::Features, (start + loaded.len()) as u64, images);
        Ok(())
    })
}

/// Submits a batch of decoded images through feed and backbone, and then `after`; the embeddings are ready
/// when the device gets there. `name` says which image of the batch an error is about.
pub(super) fn run_backbone(
    extractor: &mut Extractor,
    feed: &mut Feed,
    images: &[Image<'_>],
    name: &dyn Fn(usize) -> String,
    after: &[&Plan],
) -> Result<Submission> {
    // What a batch left behind that failed.
    feed.take();
    let input = extractor.input().clone();
    for (slot, image) in images.iter().enumerate() {
        feed.push(image, &input, slot as u32).map_err(|e| match e {
            Error::InvalidOption(reason) => Error::Image {
                path: name(slot).into(),
                reason,
                remedy: "Leave the image out, or choose another resize and crop",
            },
            other => other,
        })?;
    }
    let mut plans = vec![extractor.plan(images.len() as u32)?];
    plans.extend(after);
    feed.submit(&plans)
}
