//! All images of a source, batch by batch, decoded ahead and scored in order.

use super::ingest::{Together, decode_ahead};
use super::patch_scorer::{Score, Want};
use super::persist::Tries;
use super::score::Scorer;
use super::{Progress, Stage};
use crate::data::{Image, ImageSource};
use crate::{Error, Result};

/// Brings a scorer to a device that works where the error can be mended so; else returns the error.
pub(super) type Renew<'a> = dyn FnMut(&mut Scorer, Error) -> Result<()> + 'a;

/// A batch of a source that was begun.
struct Begun {
    /// Number of its first image in the source.
    start: usize,
    /// Images.
    count: usize,
    ticket: u64,
}

impl Scorer {
    /// Scores all images of a source in order; what was with a device that was lost is loaded and scored once
    /// more.
    pub fn score_source(
        &mut self,
        source: &dyn ImageSource,
        want: Want,
        progress: &dyn Progress,
        renew: &mut Renew<'_>,
        mut f: impl FnMut(usize, Score) -> Result<()>,
    ) -> Result<()> {
        let (batch, total) = (self.most(), source.len() as u64);
        let _stage = tracing::info_span!("score", images = total).entered();
        progress.update(Stage::Score, 0, total);
        let mut deliver = |start: usize, scores: Vec<Score>| -> Result<()> {
            let done = (start + scores.len()) as u64;
            scores.into_iter().enumerate().try_for_each(|(i, score)| f(start + i, score))?;
            progress.update(Stage::Score, done, total);
            Ok(())
        };
        let mut flying: Option<Begun> = None;
        let mut stopped = false;
        let check = self.feed.check();
        let batch = Together::to_score(batch, self.share.memory);
        let streamed = decode_ahead(source, batch, &check, progress, |start, loaded| {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let images = loaded.iter().map(|i| i.as_image()).collect::<Result<Vec<_>>>()?;
            let name = |slot: usize| source.name(start + slot);
            // A batch that is too large by now goes in parts.
            let begun = (images.len() <= self.most()).then(|| self.begin(&images, want, &name)).transpose();
            if let Some(before) = flying.take() {
                let scores = self.landed_or_anew(source, &before, want, renew);
                scores.and_then(|scores| deliver(before.start, scores)).inspect_err(|_| stopped = true)?;
            }
            match begun {
                Ok(Some(ticket)) => flying = Some(Begun { start, count: images.len(), ticket }),
                Ok(None) => {
                    let scores = self.score_anew(&images, want, &name, None, renew);
                    scores.and_then(|scores| deliver(start, scores)).inspect_err(|_| stopped = true)?;
                }
                Err(error) => {
                    // What was to be mended may be mended already.
                    let error = (!Tries::mend(&error) || self.device.is_lost()).then_some(error);
                    let scores = self.score_anew(&images, want, &name, error, renew)?;
                    deliver(start, scores).inspect_err(|_| stopped = true)?;
                }
            }
            Ok(())
        });
        match flying {
            // Images before a bad one have their scores; a caller that stopped wants no more.
            Some(last) if stopped => {
                let _ = self.finish(last.ticket);
                streamed
            }
            Some(last) => {
                let scores = self.landed_or_anew(source, &last, want, renew);
                let last = scores.and_then(|scores| deliver(last.start, scores));
                streamed.and(last)
            }
            None => streamed,
        }
    }

    /// The scores of a batch of `source` that was begun; where they were lost with their device, the batch is
    /// loaded and scored once more.
    fn landed_or_anew(
        &mut self,
        source: &dyn ImageSource,
        begun: &Begun,
        want: Want,
        renew: &mut Renew<'_>,
    ) -> Result<Vec<Score>> {
        let fallen = self.is_fallen(begun.ticket);
        let error = match self.finish(begun.ticket) {
            Err(error) if Tries::mend(&error) => error,
            other => return other,
        };
        let range = begun.start..begun.start + begun.count;
        let loaded = range.map(|i| source.load(i)).collect::<Result<Vec<_>>>()?;
        let images = loaded.iter().map(|i| i.as_image()).collect::<Result<Vec<_>>>()?;
        let name = |slot: usize| source.name(begun.start + slot);
        self.score_anew(&images, want, &name, Some(error).filter(|_| !fallen), renew)
    }

    /// Scores images after `error`, and after every other one that can be mended.
    fn score_anew(
        &mut self,
        images: &[Image<'_>],
        want: Want,
        name: &dyn Fn(usize) -> String,
        mut error: Option<Error>,
        renew: &mut Renew<'_>,
    ) -> Result<Vec<Score>> {
        loop {
            if let Some(error) = error.take() {
                renew(self, error)?;
            }
            match self.score(images, want, name) {
                Err(again) => error = Some(again),
                scores => return scores,
            }
        }
    }
}
