//! Whether a model scores here as it did where it was approved: by pictures that it keeps with their scores
//! (docs/method.md, section 12).

use super::lookup::{examined_by, patch_scores, top};
use super::{Detector, Want};
use crate::backbone::Precision;
use crate::bank::MemoryBank;
use crate::data::encode::small_png_bytes;
use crate::data::{DecodeOptions, Image, ImageSource, OwnedImage, decode_bytes};
use crate::gpu::Device;
use crate::model::{KEPT, MADE_BY, MOST_BYTES, MadeOn, Model, Reference, References, sampled};
use crate::steps::input::geometry::Placement;
use crate::{Error, Result};
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Rgb};
use serde::Serialize;
use std::collections::HashMap;

/// Bytes of a kept picture at most; the rest is for scores.
const PICTURE_BYTES: usize = (MOST_BYTES - (64 << 10)) / KEPT;

/// Pixels of a picture that may be kept as it is.
const SMALL: u64 = 1 << 19;

/// How far scores of one model may be from each other on two devices, relative: docs/architecture.md.
const AGREE: f64 = 1e-3;

/// The same where values are stored in 16 bits, which devices round up or down.
const AGREE_F16: f64 = 2e-2;

/// A score that is smaller than this share of the largest is compared by that: next to nothing differs from
/// nothing by any factor.
const LEAST: f64 = 1e-2;

/// A reference picture, approved and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Name of the image that it was made of.
    pub name: String,
    /// Its score when the model was approved.
    pub approved: f32,
    /// Its score here and now by the bank that was approved.
    pub here: f32,
    /// Largest difference of its image score and patch scores, relative to its score.
    pub difference: f64,
    /// Whether `approved` passed the threshold of then.
    pub was_anomalous: Option<bool>,
    /// Whether `here` passes the threshold of now.
    pub anomalous: Option<bool>,
    /// Column and row where the picture looked most wrong.
    pub was_peak: [u32; 2],
    /// Column and row where it does.
    pub peak: [u32; 2],
    /// Its score by the bank as it is, where edits came after the approval.
    pub edited: Option<f32>,
}

/// What [`Detector::verify`] found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verification {
    /// Reference pictures.
    pub count: usize,
    /// Largest relative difference of any score.
    pub largest_difference: f64,
    /// How large it may be.
    pub bound: f64,
    /// Pictures with another place in the order by image score.
    pub rank_changes: usize,
    /// Pictures that passed the threshold and do not, or the other way round. Within `bound` of the threshold
    /// that says nothing of the model.
    pub verdict_flips: usize,
    /// Whether the bank, but for the edits that the history has, and what is looked at are those that were
    /// approved, bit by bit.
    pub same_bank: bool,
    /// Whether the thresholds are those that were approved.
    pub same_thresholds: bool,
    /// Edits that came after the approval.
    pub edits: usize,
    /// Where the approved scores were made.
    pub approved_on: MadeOn,
    /// Where those of now are.
    pub here_on: MadeOn,
    /// [`Model::fingerprint`] of the model as it is.
    pub fingerprint: String,
    /// The pictures, by their approved score.
    pub pictures: Vec<Checked>,
}

impl Verification {
    /// Whether this is the model that was approved, and scores as it did, within `bound`.
    pub fn ok(&self) -> bool {
        self.same_bank && self.same_thresholds && self.largest_difference <= self.bound
    }

    /// What `softpatch verify --json` prints: all of this, and `ok`.
    pub fn document(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Document<'a> {
            ok: bool,
            #[serde(flatten)]
            found: &'a Verification,
        }
        Document { ok: self.ok(), found: self }
    }
}

impl Detector {
    /// Keeps up to 8 pictures of `source` in the model with their scores, for [`Detector::verify`]: of the
    /// training images those whose scores without their own rows are the lowest, the highest, next to the
    /// threshold, and evenly spread between; of others, evenly spread ones. Pixels are kept, brought to the
    /// size that they have on the frame where that is smaller, and smaller still where their PNG would pass
    /// 117 kB; what is kept is scored as it is kept. All take 1 MB of the file at most. How many were kept.
    ///
    /// # Errors
    /// What `source` says of its images, [`Error::InvalidOption`] where it has none or [`Detector::keep_to`]
    /// is in force, [`Error::Device`].
    pub fn keep_references(&mut self, source: &dyn ImageSource) -> Result<usize> {
        self.check_looks_at_all("references cannot be kept")?;
        let mut pictures = Vec::new();
        for index in chosen(&self.model, source) {
            let image = source.load(index)?;
            let placement = self.info().framing().place(image.width, image.height)?;
            let (kept, png) = shrunk(&image, &placement)?;
            let score = self.score_one(&kept.as_image()?, Want::Scores)?;
            if !score.score.is_finite() {
                continue;
            }
            pictures.push(Reference {
                name: source.name(index),
                size: score.size,
                score: score.score,
                anomalous: score.anomalous,
                peak: score.peak,
                patches: sampled(score.patches.len()).map(|at| score.patches[at]).collect(),
                png,
            });
        }
        if pictures.is_empty() {
            return Err(Error::InvalidOption("there are no pictures to keep as references".to_owned()));
        }
        pictures.sort_by(|a, b| a.score.total_cmp(&b.score));
        let count = pictures.len();
        self.model.references = Some(References {
            made_on: made_on(&self.device),
            fingerprint: self.model.fingerprint(),
            edits: self.info().history.len() as u32,
            threshold: self.info().threshold,
            pixel_threshold: self.info().pixel_threshold,
            pictures,
        });
        Ok(count)
    }

    /// Leaves the reference pictures out of the model: the pixels are gone from files that are written from
    /// now on.
    pub fn forget_references(&mut self) {
        self.model.references = None;
    }

    /// Scores the reference pictures that the model keeps on this device, and compares with what they scored
    /// when they were kept. Where edits came since, they are taken back for the comparison, and what they
    /// changed is told beside it.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where the model keeps none or [`Detector::keep_to`] is in force,
    /// [`Error::Model`] where they are damaged, [`Error::Device`].
    pub fn verify(&self) -> Result<Verification> {
        self.check_looks_at_all("a model cannot be verified")?;
        let (model, info) = (&self.model, self.info());
        let Some(kept) = &model.references else {
            return Err(Error::InvalidOption(
                "the model keeps no reference pictures to be verified by: it was made by an earlier version, by the library, \
                 or with --no-references; fit anew, or `softpatch model MODEL keep-references DIR` on a machine whose \
                 scores you trust"
                    .to_owned(),
            ));
        };
        let edits = info.history.len().saturating_sub(kept.edits as usize);
        let before = if edits > 0 { Some(model.without_edits(kept.edits)?) } else { None };
        let approved = before.as_ref().unwrap_or(model);
        let of_edits = info.history.last().filter(|_| edits > 0);
        let same_bank = approved.fingerprint() == kept.fingerprint
            && of_edits.is_none_or(|edit| edit.fingerprint == model.fingerprint());
        let largest = kept.pictures.iter().map(|p| p.score).chain(kept.threshold).fold(0.0, f32::max);
        let mut pictures = Vec::with_capacity(kept.pictures.len());
        for picture in &kept.pictures {
            let image = decoded(picture)?;
            pictures.push(self.check(
                picture,
                &image.as_image()?,
                before.as_ref().map(|m| &m.bank),
                largest,
            )?);
        }
        let ranks = |score: &dyn Fn(&Checked) -> f32| {
            let mut order: Vec<usize> = (0..pictures.len()).collect();
            order.sort_by(|&a, &b| score(&pictures[a]).total_cmp(&score(&pictures[b])));
            order
        };
        let (then, now) = (ranks(&|p| p.approved), ranks(&|p| p.here));
        Ok(Verification {
            count: pictures.len(),
            largest_difference: pictures.iter().map(|p| p.difference).fold(0.0, f64::max),
            bound: if info.options.precision == Precision::F16 { AGREE_F16 } else { AGREE },
            rank_changes: then.iter().zip(&now).filter(|(a, b)| a != b).count(),
            verdict_flips: pictures.iter().filter(|p| p.anomalous != p.was_anomalous).count(),
            same_bank,
            same_thresholds: (info.threshold, info.pixel_threshold) == (kept.threshold, kept.pixel_threshold),
            edits,
            approved_on: kept.made_on.clone(),
            here_on: made_on(&self.device),
            fingerprint: model.fingerprint(),
            pictures,
        })
    }

    /// Compares one picture with what it scored; `before` is the bank before edits, where there were any,
    /// `largest` the largest of all approved scores.
    fn check(
        &self,
        kept: &Reference,
        image: &Image<'_>,
        before: Option<&MemoryBank>,
        largest: f32,
    ) -> Result<Checked> {
        let info = self.info();
        let mut now = self.score_one(image, Want::Scores)?;
        let edited = before.map(|_| now.score);
        if let Some(bank) = before {
            let examined = self.examine(image, None)?;
            let found = examined_by(&self.device, bank, &examined, info.options.memory)?;
            now.patches = patch_scores(bank, &found);
            now.score = top(now.patches.iter().copied());
            now.peak = self.peak(&now.patches, now.grid, Want::Scores, now.size)?;
        }
        let scale = f64::from(kept.score).max(LEAST * f64::from(largest)).max(f64::from(f32::MIN_POSITIVE));
        let here = sampled(now.patches.len()).map(|at| now.patches[at]).chain([now.score]);
        let pairs = here.zip(kept.patches.iter().chain([&kept.score]));
        let apart = |(a, b): (f32, &f32)| (f64::from(a) - f64::from(*b)).abs() / scale;
        // What is no number is as wrong as can be.
        let difference =
            pairs.map(apart).fold(0.0, |most: f64, d| if d.is_nan() { f64::INFINITY } else { most.max(d) });
        Ok(Checked {
            name: kept.name.clone(),
            approved: kept.score,
            here: now.score,
            difference,
            was_anomalous: kept.anomalous,
            anomalous: info.threshold.map(|t| now.score > t),
            was_peak: kept.peak,
            peak: now.peak,
            edited,
        })
    }
}

fn made_on(device: &Device) -> MadeOn {
    let caps = device.caps();
    MadeOn {
        version: MADE_BY.to_owned(),
        adapter: caps.adapter.clone(),
        backend: caps.backend.clone(),
        driver: caps.driver.clone(),
    }
}

/// Numbers of the images of `source` that become references.
fn chosen(model: &Model, source: &dyn ImageSource) -> Vec<usize> {
    let scores: HashMap<&str, f32> = (model.train_images.iter().zip(&model.train_scores))
        .filter_map(|(image, score)| Some((model.info.images.get(*image as usize)?.as_str(), *score)))
        .collect();
    let all = 0..source.len();
    let mut known: Vec<(usize, f32)> =
        all.clone().filter_map(|i| Some((i, *scores.get(source.name(i).as_str())?))).collect();
    if known.is_empty() {
        known = all.map(|i| (i, 0.0)).collect();
    }
    spread(&mut known, model.info.threshold)
}

/// Up to [`KEPT`] of `images`, numbers with scores: evenly spread by score, ends included, and of the others
/// the one next to `threshold`.
fn spread(images: &mut [(usize, f32)], threshold: Option<f32>) -> Vec<usize> {
    images.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    if images.len() <= KEPT {
        return images.iter().map(|image| image.0).collect();
    }
    let steps = if threshold.is_some() { KEPT - 2 } else { KEPT - 1 };
    let mut places: Vec<usize> = (0..=steps).map(|i| i * (images.len() - 1) / steps).collect();
    let off = |at: &usize| threshold.map_or(0.0, |t| (images[*at].1 - t).abs());
    let rest = (0..images.len()).filter(|at| !places.contains(at));
    places.extend(rest.min_by(|a, b| off(a).total_cmp(&off(b))).filter(|_| threshold.is_some()));
    places.sort_unstable();
    places.into_iter().map(|at| images[at].0).collect()
}

/// A picture made smaller, by the filter that brings pictures to the frame.
pub(super) fn smaller(image: &OwnedImage, [width, height]: [u32; 2]) -> Result<OwnedImage> {
    let whole: ImageBuffer<Rgb<u8>, &[u8]> =
        ImageBuffer::from_raw(image.width, image.height, image.pixels.as_slice()).ok_or_else(|| {
            Error::InvalidImage(format!("{}x{} with {} bytes", image.width, image.height, image.pixels.len()))
        })?;
    Ok(OwnedImage { width, height, pixels: resize(&whole, width, height, FilterType::Triangle).into_raw() })
}

/// A picture as it is kept, and its PNG.
fn shrunk(image: &OwnedImage, placement: &Placement) -> Result<(OwnedImage, Vec<u8>)> {
    let &OwnedImage { width, height, .. } = image;
    if u64::from(width) * u64::from(height) <= SMALL {
        let png = small_png_bytes(image)?;
        if png.len() <= PICTURE_BYTES {
            return Ok((image.clone(), png));
        }
    }
    let (mut w, mut h) = (placement.width.min(width), placement.height.min(height));
    loop {
        let small = smaller(image, [w, h])?;
        let png = small_png_bytes(&small)?;
        if png.len() <= PICTURE_BYTES || w.max(h) == 1 {
            return Ok((small, png));
        }
        let less = (PICTURE_BYTES as f64 / png.len() as f64).sqrt() * 0.97;
        [w, h] = [w, h].map(|side| ((f64::from(side) * less) as u32).max(1));
    }
}

/// A kept picture's pixels.
pub(super) fn decoded(kept: &Reference) -> Result<OwnedImage> {
    let [width, height] = kept.size;
    let max_pixels = u64::from(width) * u64::from(height);
    let damaged = |e: Error| Error::Model {
        path: "<memory>".into(),
        reason: format!("the reference picture {} is damaged ({e}); fit anew", kept.name),
    };
    let image =
        decode_bytes(&kept.name, &kept.png, &DecodeOptions { max_pixels, ..DecodeOptions::default() });
    let image = image.map_err(damaged)?;
    if [image.width, image.height] != kept.size {
        return Err(damaged(Error::InvalidImage(format!("it is of {}x{}", image.width, image.height))));
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_spread_over_the_scores() {
        let mut few: Vec<(usize, f32)> = vec![(4, 3.0), (7, 1.0), (9, 2.0)];
        assert_eq!(spread(&mut few, Some(1.9)), [7, 9, 4]);
        let mut many: Vec<(usize, f32)> = (0..32).map(|i| (i, ((i * 7) % 32) as f32)).collect();
        let found = spread(&mut many, Some(28.9));
        let scores: Vec<usize> = found.iter().map(|i| i * 7 % 32).collect();
        assert_eq!(scores, [0, 5, 10, 15, 20, 25, 29, 31]);
        // The one that is next to the threshold is among the others already.
        let scores: Vec<usize> = spread(&mut many, Some(90.0)).iter().map(|i| i * 7 % 32).collect();
        assert_eq!(scores, [0, 5, 10, 15, 20, 25, 30, 31]);
        assert_eq!(spread(&mut many, None).len(), 8);
        assert!(spread(&mut [], Some(1.0)).is_empty());
    }

    #[test]
    fn pictures_are_kept_as_they_are_or_smaller() {
        let noise = |width: u32, height: u32| {
            // What no compression makes smaller.
            let value = |i: u32| {
                let v = i.wrapping_mul(2_654_435_761);
                ((v ^ (v >> 15)).wrapping_mul(2_246_822_519) >> 24) as u8
            };
            OwnedImage { width, height, pixels: (0..3 * width * height).map(value).collect() }
        };
        let place = |image: &OwnedImage| {
            crate::steps::input::geometry::Framing::middle(256, 224).place(image.width, image.height).unwrap()
        };
        for (width, height) in [(100, 90), (300, 260), (2000, 600), (1, 5)] {
            let image = noise(width, height);
            let (kept, png) = shrunk(&image, &place(&image)).unwrap();
            assert!(png.len() <= PICTURE_BYTES, "{width}x{height}");
            assert_eq!(kept == image, width * height <= 9000, "{width}x{height}");
            let aspect =
                f64::from(kept.width) / f64::from(kept.height) / f64::from(width) * f64::from(height);
            assert!((aspect - 1.0).abs() < 0.02, "{width}x{height} as {}x{}", kept.width, kept.height);
            let size = [kept.width, kept.height];
            let (peak, patches, name) = ([0; 2], Vec::new(), "a".to_owned());
            let reference = Reference { name, size, score: 1.0, anomalous: None, peak, patches, png };
            assert_eq!(decoded(&reference).unwrap(), kept);
            assert!(decoded(&Reference { size: [1, 1], ..reference.clone() }).is_err());
            assert!(decoded(&Reference { png: reference.png[..40].to_vec(), ..reference }).is_err());
        }
    }
}
