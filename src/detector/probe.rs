//! How fast pictures go through the backbone here, from a few of them.

use super::fit::check_source;
use super::frame::frame_of;
use super::ingest::{Together, errors, largest_of, run_backbone};
use super::{Detector, Progress};
use crate::backbone::{Backbone, Extractor, Feed};
use crate::data::ImageSource;
use crate::gpu::Device;
use crate::settings::FitOptions;
use crate::{Error, Result, process};
use rayon::prelude::*;
use std::time::{Duration, Instant};

/// What a probe of the backbone measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// Pictures that were decoded and brought to their embeddings.
    pub pictures: usize,
    /// Seconds that they took, after the first, which builds the kernels.
    pub seconds: f64,
}

impl Probe {
    /// Seconds that so many pictures take.
    pub fn seconds_of(&self, pictures: usize) -> f64 {
        self.seconds * pictures as f64 / self.pictures.max(1) as f64
    }
}

impl Detector {
    /// Brings a few training pictures to their embeddings, as [`Detector::fit`] with the same arguments does:
    /// one that is not counted, which builds the kernels that are not in the driver's cache, and then batches
    /// until `time` has passed, at least one.
    ///
    /// # Errors
    /// As [`Detector::fit`].
    pub fn probe(
        device: &Device,
        backbone: &Backbone,
        source: &dyn ImageSource,
        options: &FitOptions,
        time: Duration,
        progress: &dyn Progress,
    ) -> Result<Probe> {
        process::check()?;
        let options =
            &FitOptions { embedding: options.embedding_for(&backbone.network.name), ..options.clone() };
        check_source(source, options)?;
        let frame = frame_of(&backbone.network, options, source, progress)?;
        let extraction = options.extraction(&backbone.network.name, frame);
        let mut extractor = Extractor::with(device, backbone.network.clone(), &backbone.weights, extraction)?;
        let mut feed = Feed::new(device, extractor.network(), options.framing(frame))?;
        let together = Together::to_score(extractor.batch() as usize, options.memory);
        let most = together.count(largest_of(source, options.memory)?) as usize;
        let mut run = |images: std::ops::Range<usize>| -> Result<()> {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let first = images.start;
            let loaded: Vec<_> = images.into_par_iter().map(|i| source.load(i)).collect();
            if loaded.iter().any(Result::is_err) {
                return Err(Error::BadImages { total: source.len(), bad: errors(first, loaded)? });
            }
            let loaded = loaded.into_iter().collect::<Result<Vec<_>>>()?;
            let views = loaded.iter().map(|image| image.as_image()).collect::<Result<Vec<_>>>()?;
            let name = |slot: usize| source.name(first + slot);
            run_backbone(&mut extractor, &mut feed, &views, &name, |feed, plan, _| {
                feed.submit(&[plan]).map(drop)
            })?;
            device.wait()
        };
        run(0..1)?;
        let began = Instant::now();
        let mut pictures = 0;
        while pictures < source.len() && (pictures == 0 || began.elapsed() < time) {
            let end = source.len().min(pictures + most);
            run(pictures..end)?;
            pictures = end;
        }
        Ok(Probe { pictures, seconds: began.elapsed().as_secs_f64() })
    }
}
