//! Which training pictures look contaminated, before a model is made of them.

use super::cells::Cells;
use super::denoise::{denoise, reaches};
use super::fit::{Prepared, prepare};
use super::persist::persist;
use super::{Progress, regions};
use crate::backbone::Backbone;
use crate::data::ImageSource;
use crate::gpu::Device;
use crate::settings::{Discriminator, FitOptions};
use crate::{Error, Result, process};
use serde::Serialize;

/// Training pictures in the order of suspicion, and how many look contaminated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Rows and columns of the grid of patches.
    pub grid: [u32; 2],
    /// Rows and columns of the frame that pictures are brought to, in pixels.
    pub frame: [u32; 2],
    /// Outlier score above which a fit would drop patches.
    pub noise_threshold: f32,
    /// Neighbours that LOF really used; absent for other discriminators.
    pub lof_k: Option<u32>,
    /// How many look contaminated.
    pub contaminated: Contaminated,
    /// The pictures, most suspicious first.
    pub images: Vec<AuditImage>,
}

/// How many training pictures look contaminated: an estimate. Normal pictures that are rare are counted, too,
/// and a flaw that many pictures share at one place is not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contaminated {
    /// Suspicion above which a picture counts: median plus three scaled median absolute deviations of all;
    /// absent where the pictures do not say how much normal ones differ.
    pub limit: Option<f32>,
    /// Pictures above it.
    pub count: usize,
    /// Pictures above the same with 4.5 deviations: fewer are unlikely.
    pub at_least: usize,
    /// Pictures above the same with 2 deviations: more are unlikely.
    pub at_most: usize,
}

/// One training picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditImage {
    /// Its number in the source.
    pub index: usize,
    /// Its name in the source.
    pub name: String,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// How suspicious it is (docs/method.md, section 13); about 0 for a picture like the others.
    pub suspicion: f32,
    /// Whether it counts as contaminated.
    pub suspect: bool,
    /// Share of its patches that a fit would drop, of those that are looked at.
    pub dropped: f32,
    /// Column and row, in pixels of the picture, where it is most suspicious.
    pub peak: [u32; 2],
    /// Connected areas of patches that are more suspicious than [`Contaminated::limit`], largest first.
    pub regions: Vec<NoisyRegion>,
    /// `[rows][columns]`: how suspicious each patch is with those around it; minus infinity where it is not
    /// looked at.
    #[serde(skip)]
    pub patches: Vec<f32>,
}

/// A connected area of suspicious patches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoisyRegion {
    /// `[x, y, width, height]` of the smallest box around it, in pixels of the picture.
    pub bbox: [u32; 4],
    /// Number of its patches.
    pub patches: u32,
    /// Its largest suspicion.
    pub peak: f32,
    /// Its outer boundary, corners `[x, y]` in pixels of the picture; see [`super::Region::contour`].
    pub contour: Vec<[u32; 2]>,
}

impl Audit {
    /// Judges the training images of `source` as [`Detector::fit`](super::Detector::fit) with `options`
    /// would, and makes no model.
    ///
    /// # Errors
    /// As [`Detector::fit`](super::Detector::fit); [`Error::InvalidOption`] for the discriminator `none`,
    /// which judges no patches.
    pub fn of(
        device: &Device,
        backbone: &Backbone,
        source: &dyn ImageSource,
        options: &FitOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        process::check()?;
        persist(device, options, progress, |device, options| {
            Self::on(device, backbone, source, options, progress)
        })
    }

    fn on(
        device: &Device,
        backbone: &Backbone,
        source: &dyn ImageSource,
        options: &FitOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if options.discriminator == Discriminator::None {
            return Err(Error::InvalidOption(
                "the discriminator none judges no training patches, so there is nothing to audit; take lof, auto, \
                 nearest or gaussian"
                    .into(),
            ));
        }
        let Prepared { features, origin, .. } = prepare(device, backbone, source, options, false, progress)?;
        let denoised = denoise(device, &features, options, progress)?;
        let noise_threshold = denoised.threshold.unwrap_or(f32::INFINITY);
        let mut kept = vec![false; denoised.scores.len()];
        denoised.kept.iter().for_each(|&patch| kept[patch as usize] = true);
        let (grid, framing) = (origin.grid, options.framing(origin.frame));
        let distances = reaches(device, &features, options, progress)?;
        let (found, maps) = suspicions(&denoised.scores, &distances, grid);
        let contaminated = Contaminated::of(&found.iter().map(|f| f.value).collect::<Vec<_>>());
        let mut images = Vec::with_capacity(found.len());
        let each =
            found.into_iter().zip(maps.chunks_exact(features.positions)).zip(origin.images).enumerate();
        for (index, ((Suspicion { value, at }, patches), name)) in each {
            let of = index * features.positions..(index + 1) * features.positions;
            let looked_at = of.clone().filter(|&patch| features.covers(patch as u32)).count();
            let dropped = of.filter(|&patch| !kept[patch] && features.covers(patch as u32)).count();
            let size = source.size(index)?;
            let cells = Cells::new(framing, grid, size)?;
            images.push(AuditImage {
                index,
                name,
                size,
                suspicion: value,
                suspect: contaminated.limit.is_some_and(|limit| value > limit),
                dropped: dropped as f32 / looked_at.max(1) as f32,
                peak: cells.middle([at as u32 % grid[1], at as u32 / grid[1]]),
                regions: noisy(patches, contaminated.limit.unwrap_or(f32::INFINITY), grid, &cells)?,
                patches: patches.to_vec(),
            });
        }
        images.sort_by(|a, b| b.suspicion.total_cmp(&a.suspicion).then(a.index.cmp(&b.index)));
        let (frame, lof_k) = (origin.frame, denoised.lof_k);
        Ok(Self { grid, frame, noise_threshold, lof_k, contaminated, images })
    }
}

/// The connected areas of the patches above `limit`.
fn noisy(patches: &[f32], limit: f32, grid: [u32; 2], cells: &Cells) -> Result<Vec<NoisyRegion>> {
    Ok((regions(patches, grid, limit)?.into_iter())
        .map(|region| NoisyRegion {
            bbox: cells.bbox(region.bbox),
            patches: region.area,
            peak: region.peak,
            contour: region.contour.into_iter().map(|corner| cells.corner(corner)).collect(),
        })
        .collect())
}

/// How suspicious a picture is, and the patch where it is most.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Suspicion {
    value: f32,
    at: usize,
}

/// Share of the positions whose mean is the suspicion of a picture.
const WORST: f64 = 0.02;

/// The suspicion of every picture and, `[images][rows * columns]`, of its patches, from the patches' outlier
/// scores, 0 for those that are not looked at, and their distances to the k-th nearest patch of other
/// pictures: logarithm of score times distance, mean of 3 x 3 positions; of a picture, the mean of the worst
/// 2 % of these; all less that of the middle picture. docs/method.md, section 13, says why, and
/// docs/measurements.md what else was tried.
fn suspicions(scores: &[f32], distances: &[f32], [rows, columns]: [u32; 2]) -> (Vec<Suspicion>, Vec<f32>) {
    let (rows, columns) = (rows as usize, columns as usize);
    let log = |(&score, &distance): (&f32, &f32)| match score {
        // What is no number was dropped as the worst.
        s if !s.is_finite() => Some(f32::MAX.ln()),
        s if s > 0.0 && distance < f32::MAX => Some(s.ln() + distance.max(1e-6).ln()),
        _ => None,
    };
    let around = |logs: &[Option<f32>], at: usize| {
        let (x, y) = (at % columns, at / columns);
        let (mut sum, mut count) = (0.0, 0.0);
        for ny in y.saturating_sub(1)..=(y + 1).min(rows - 1) {
            for nx in x.saturating_sub(1)..=(x + 1).min(columns - 1) {
                if let Some(log) = logs[ny * columns + nx] {
                    (sum, count) = (sum + log, count + 1.0);
                }
            }
        }
        sum / count
    };
    let positions = rows * columns;
    let (mut all, mut maps) = (Vec::new(), Vec::with_capacity(scores.len()));
    for (scores, distances) in scores.chunks_exact(positions).zip(distances.chunks_exact(positions)) {
        let logs: Vec<Option<f32>> = scores.iter().zip(distances).map(log).collect();
        let mean = |at: usize| logs[at].map_or(f32::NEG_INFINITY, |_| around(&logs, at));
        let map: Vec<f32> = (0..positions).map(mean).collect();
        let mut means: Vec<(f32, usize)> = map.iter().copied().zip(0..).filter(|m| m.0.is_finite()).collect();
        means.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        means.truncate(((means.len() as f64 * WORST) as usize).max(1));
        let value = means.iter().map(|m| m.0).sum::<f32>() / means.len() as f32;
        all.push(Suspicion { value, at: means.first().map_or(0, |m| m.1) });
        maps.extend(map);
    }
    let middle = median(all.iter().map(|s| s.value).filter(|v| v.is_finite()).collect());
    for one in &mut all {
        // Of a picture that is not looked at anywhere nothing is known.
        one.value = if one.value.is_finite() { one.value - middle } else { 0.0 };
    }
    maps.iter_mut().for_each(|v| *v -= middle);
    (all, maps)
}

impl Contaminated {
    /// From the suspicions of all pictures.
    fn of(suspicions: &[f32]) -> Self {
        let centre = median(suspicions.to_vec());
        let spread = 1.4826 * median(suspicions.iter().map(|s| (s - centre).abs()).collect());
        // Of copies of one picture, or of two pictures, nothing says how much normal ones differ.
        if suspicions.len() < 3 || spread <= 1024.0 * f32::EPSILON * centre.abs() {
            return Self { limit: None, count: 0, at_least: 0, at_most: 0 };
        }
        let limit = |deviations: f32| centre + deviations * spread;
        let over = |deviations: f32| suspicions.iter().filter(|s| **s > limit(deviations)).count();
        Self { limit: Some(limit(3.0)), count: over(3.0), at_least: over(4.5), at_most: over(2.0) }
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f32::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}
