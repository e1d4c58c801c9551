//! Images to embeddings: decoding beside the backbone.

use super::{Progress, Stage};
use crate::ahead::read_ahead;
use crate::backbone::{Extractor, Feed, Piece};
use crate::data::{Image, ImageSource, OwnedImage};
use crate::gpu::{Plan, Tensor};
use crate::{Error, Result};
use rayon::prelude::*;
use std::borrow::Cow;

/// Decodes `source` in batches of `batch` on other threads, one batch ahead, and hands them to `f` in order.
/// `check` refuses sizes that the caller has no use for.
///
/// # Errors
/// Those of `f`; [`Error::BadImages`] with every image that does not load or pass the check, for which the
/// images after the first such one are looked at, too. Images in batches before it have gone to `f`. At the
/// end `progress` hears what the source has to say of its images.
pub(super) fn decode_ahead<'s>(
    source: &'s dyn ImageSource,
    batch: usize,
    check: &(dyn Fn(u32, u32) -> Result<()> + Sync),
    progress: &dyn Progress,
    mut f: impl FnMut(usize, &[Cow<'s, OwnedImage>]) -> Result<()>,
) -> Result<()> {
    let total = source.len();
    // Busy while a batch is decoded, beside what becomes of the one before.
    let stage = tracing::info_span!("decode", images = total);
    let one = |i: usize| -> Result<Cow<'s, OwnedImage>> {
        let image = source.load(i)?;
        check(image.width, image.height).map_err(|e| unsuitable(e, source.name(i)))?;
        Ok(image)
    };
    let several = |start: usize| -> Vec<Result<Cow<'s, OwnedImage>>> {
        stage.in_scope(|| (start..(start + batch).min(total)).into_par_iter().map(one).collect())
    };
    let load = |&start: &usize, images: &mut Vec<Cow<'s, OwnedImage>>| {
        let loaded = several(start);
        if loaded.iter().any(Result::is_err) {
            return Err(Error::BadImages { total, bad: errors(start, loaded)? });
        }
        *images = loaded.into_iter().collect::<Result<_>>()?;
        Ok(())
    };
    let read = read_ahead((0..total).step_by(batch), load, |start, images| f(start, images));
    let Err(Error::BadImages { mut bad, .. }) = read else {
        source.notes().iter().for_each(|note| progress.notice(note));
        return read;
    };
    // Nothing will come of the rest; one run names all that is wrong with it.
    let first = bad.first().map_or(total, |(i, _)| i / batch * batch);
    for start in (first + batch..total).step_by(batch) {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        bad.extend(errors(start, several(start))?);
    }
    Err(Error::BadImages { total, bad })
}

/// What is wrong with images of a batch that begins with number `start`; an error that is about no image
/// comes first.
fn errors<T>(start: usize, loaded: Vec<Result<T>>) -> Result<Vec<(usize, Error)>> {
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
fn unsuitable(error: Error, name: String) -> Error {
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
    progress: &dyn Progress,
    mut f: impl FnMut(Run<'_>) -> Result<()>,
) -> Result<()> {
    let (batch, images) = (extractor.batch() as usize, source.len() as u64);
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
        for (slot, image) in images.iter().enumerate() {
            feed.push(image, &input, slot as u32, &piece.input).map_err(|e| unsuitable(e, name(slot)))?;
        }
        submit(feed, extractor.plan(images.len() as u32, i)?, piece)?;
    }
    Ok(())
}
