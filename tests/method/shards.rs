//! Fits in shards: with one shard the model of a fit in every bit; with several the same outlier scores, and a bank
//! that covers the patches nearly as well.

use crate::common::{direct, of_each_kind, on_each, turn};
use softpatch::data::synth::{Defect, Material, render};
use softpatch::data::{ImageSource, OwnedImage, Roi};
use softpatch::detector::shards::{ShardPlan, ShardRows};
use softpatch::detector::{Discriminator, FitAspect, Group, Model};
use softpatch::{Backbone, Detector, Device, Error, FitOptions, Quiet, Size};
use std::borrow::Cow;
use std::ops::Range;

const SIDE: u32 = 64;
const IMAGES: usize = 11;

fn parts() -> Vec<OwnedImage> {
    (0..IMAGES as u64)
        .map(|i| render(Material::Gear, (i % 4 == 2).then_some(Defect::Chip), i, SIDE).unwrap().0)
        .collect()
}

fn options() -> FitOptions {
    FitOptions::default().size(Size::Shorter(SIDE)).coreset_ratio(0.2).batch(4)
}

fn bytes(model: &Model) -> Vec<u8> {
    model.to_bytes().unwrap()
}

/// What becomes of a fit in shards.
struct Made {
    model: Model,
    /// Outlier scores `[images][positions]`.
    scores: Vec<f32>,
    /// Covering radius of the kept patches.
    radius: f32,
}

/// The `q` quantile of the scores that are none of a patch that is not looked at.
fn quantile(scores: &[f32], q: f64) -> f32 {
    let mut sorted: Vec<f32> = scores.iter().copied().filter(|score| *score >= 0.0).collect();
    sorted.sort_by(f32::total_cmp);
    let at = q * (sorted.len() - 1) as f64;
    let (low, t) = (at.floor() as usize, (at - at.floor()) as f32);
    sorted[low] + (sorted[(low + 1).min(sorted.len() - 1)] - sorted[low]) * t
}

/// A fit whose images are dealt out to shards, and whose positions are judged `together` at a time.
fn fit(device: &Device, source: &Part<'_>, options: &FitOptions, shards: usize, together: usize) -> Made {
    let backbone = Backbone::embedded().unwrap();
    let plan = ShardPlan::new(device, &backbone, source, options, &Quiet).unwrap();
    let plan = ShardPlan::from_json(&plan.to_json().unwrap()).unwrap();
    let (images, positions) = (source.len(), plan.positions());
    let (dim, r) = (plan.dim as usize, plan.projected as usize);
    let ends = |shard: usize| shard * images / shards..(shard + 1) * images / shards;
    let (mut z, mut e) = (vec![0.0; images * positions * r], vec![0.0; images * positions * dim]);
    for shard in 0..shards {
        let Range { start, end } = ends(shard);
        let to = (
            &mut z[start * positions * r..end * positions * r],
            &mut e[start * positions * dim..end * positions * dim],
        );
        plan.features(device, &backbone, &source.part(start..end), to, &Quiet).unwrap();
    }
    let mut scores = vec![0.0; images * positions];
    let mut lof_k = None;
    for p0 in (0..positions).step_by(together) {
        let here = together.min(positions - p0);
        let block: Vec<f32> =
            (0..images).flat_map(|i| &z[(i * positions + p0) * r..][..here * r]).copied().collect();
        let (found, k) = plan.outlier_scores(device, &backbone, &block, &Quiet).unwrap();
        lof_k = k;
        for (i, found) in found.chunks_exact(here).enumerate() {
            scores[i * positions + p0..][..here].copy_from_slice(found);
        }
    }
    let drops = options.discriminator != Discriminator::None;
    let threshold = drops.then(|| quantile(&scores, 1.0 - options.tau));
    let kept: Vec<u32> = (0..scores.len() as u32)
        .filter(|&p| scores[p as usize] >= 0.0 && threshold.is_none_or(|t| scores[p as usize] <= t))
        .collect();
    let looked_at = scores.iter().filter(|score| **score >= 0.0).count();
    let rows = plan.rows(looked_at as u64).min(kept.len());
    let vectors = |patches: &[u32]| -> Vec<f32> {
        patches.iter().flat_map(|&p| &z[p as usize * r..][..r]).copied().collect()
    };
    let choose = |patches: &[u32]| -> Vec<u32> {
        let chosen = plan.choose(device, &backbone, &vectors(patches), None, rows as u32, &Quiet).unwrap();
        chosen.into_iter().map(|at| patches[at as usize]).collect()
    };
    let union: Vec<u32> = (0..shards)
        .flat_map(|shard| {
            let Range { start, end } = ends(shard);
            let here = (start * positions) as u32..(end * positions) as u32;
            choose(&kept.iter().copied().filter(|p| here.contains(p)).collect::<Vec<_>>())
        })
        .collect();
    let bank = if shards == 1 { union } else { choose(&union) };
    let radius = plan.distances(device, &backbone, &vectors(&kept), &vectors(&bank), &Quiet).unwrap();
    let radius = radius.into_iter().fold(0.0, f32::max);
    let rows = ShardRows {
        images: (0..images).map(|i| source.name(i)).collect(),
        embeddings: bank.iter().flat_map(|&p| &e[p as usize * dim..][..dim]).copied().collect(),
        scores: bank.iter().map(|&p| scores[p as usize]).collect(),
        places: bank.iter().map(|&p| [p / positions as u32, p % positions as u32]).collect(),
        threshold,
        kept: kept.len() as u64,
        lof_k,
    };
    let mut model = plan.model(device, rows).unwrap();
    let left: Vec<_> = (0..shards)
        .flat_map(|shard| {
            let Range { start, end } = ends(shard);
            let e = &e[start * positions * dim..end * positions * dim];
            plan.leave_one_out(device, &backbone, &model, e, start as u32, &Quiet).unwrap()
        })
        .collect();
    plan.finish(&mut model, &left, &Quiet).unwrap();
    Made { model, scores, radius }
}

/// Training images from number `first` on.
struct Part<'a> {
    first: usize,
    images: &'a [OwnedImage],
    roi: Option<&'a Roi>,
}

impl ImageSource for Part<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }
    fn name(&self, index: usize) -> String {
        format!("<memory>[{}]", self.first + index)
    }
    fn load(&self, index: usize) -> softpatch::Result<Cow<'_, OwnedImage>> {
        Ok(Cow::Borrowed(&self.images[index]))
    }
    fn roi(&self) -> Option<&Roi> {
        self.roi
    }
}

impl Part<'_> {
    fn part(&self, range: Range<usize>) -> Part<'_> {
        Part { first: range.start, images: &self.images[range], roi: self.roi }
    }
}

fn all(images: &[OwnedImage]) -> Part<'_> {
    Part { first: 0, images, roi: None }
}

#[test]
fn one_shard_makes_the_model_of_a_fit() {
    let _turn = turn();
    let images = parts();
    on_each(&of_each_kind(), |name, device| {
        for options in [
            options(),
            options().target_fpr(0.2),
            options().discriminator(Discriminator::None).soft_weights(false),
        ] {
            let backbone = Backbone::embedded().unwrap();
            let whole = Detector::fit(device, &backbone, &all(&images), &options, &Quiet).unwrap();
            let made = fit(device, &all(&images), &options, 1, 3);
            assert!(bytes(&made.model) == bytes(whole.model()), "{name}: another model with {options:?}");
        }
    });
}

#[test]
fn several_shards_judge_alike_and_cover_nearly_as_well() {
    let _turn = turn();
    let device = &direct().1;
    let images = parts();
    let mut padded = parts();
    // One that leaves something of the frame out.
    padded[3] = render(Material::Gear, None, 99, SIDE).unwrap().0;
    let (w, h) = (SIDE, 40);
    padded[3].pixels.truncate(3 * (w * h) as usize);
    (padded[3].width, padded[3].height) = (w, h);
    let roi = Roi::new(SIDE, SIDE, (0..SIDE * SIDE).map(|i| i % SIDE > 20).collect()).unwrap();
    for (images, roi, options) in [
        (&images, None, options()),
        (&images, None, options().discriminator(Discriminator::Gaussian)),
        (&padded, None, options().fit_aspect(FitAspect::Pad).discriminator(Discriminator::Nearest)),
        (&images, Some(&roi), options()),
    ] {
        let images = &Part { first: 0, images, roi };
        let one = fit(device, images, &options, 1, 64);
        let backbone = Backbone::embedded().unwrap();
        let whole = Detector::fit(device, &backbone, images, &options, &Quiet).unwrap();
        assert!(bytes(&one.model) == bytes(whole.model()), "another model with {options:?}");
        let several = fit(device, images, &options, 3, 5);
        assert!(several.scores == one.scores, "{options:?}");
        let (a, b) = (&several.model.info, &one.model.info);
        assert_eq!(
            (a.noise_threshold, a.kept, a.rows, a.lof_k),
            (b.noise_threshold, b.kept, b.rows, b.lof_k)
        );
        assert!(
            one.radius > 0.0 && several.radius <= 1.3 * one.radius,
            "{} and {}",
            several.radius,
            one.radius
        );
        assert!(several.model.info.threshold.is_some() && several.model.train_scores.len() == IMAGES);
        let [mine, theirs] = [&several.model, &one.model].map(|m| m.info.threshold.unwrap());
        assert!((mine / theirs - 1.0).abs() < 0.2, "{mine} and {theirs}");
    }
}

/// From a bank that is there, the choice goes on as greedy would have: on the device and streamed from disk.
#[test]
fn a_choice_goes_on_from_a_bank() {
    let _turn = turn();
    let (images, backbone) = (parts(), Backbone::embedded().unwrap());
    on_each(&of_each_kind(), |name, device| {
        for memory in [1 << 30, 2 << 20] {
            let mut plan = ShardPlan::new(device, &backbone, &all(&images), &options(), &Quiet).unwrap();
            // Less than the vectors take, so that they wait on disk.
            plan.options.memory = memory;
            let r = plan.projected as usize;
            let vectors: Vec<f32> = (0..6000 * r)
                .map(|i| (i as f32 * 0.731).sin() * ((i / r) as f32 * 1.37).cos() * 4.0)
                .collect();
            let whole = plan.choose(device, &backbone, &vectors, None, 50, &Quiet).unwrap();
            let at = |rows: &[u32]| -> Vec<f32> {
                rows.iter().flat_map(|row| &vectors[*row as usize * r..][..r]).copied().collect()
            };
            let distances = plan.distances(device, &backbone, &vectors, &at(&whole[..20]), &Quiet).unwrap();
            let rest = plan.choose(device, &backbone, &vectors, Some(&distances), 30, &Quiet).unwrap();
            assert_eq!(rest, whole[20..], "{name}, {memory} bytes");
        }
    });
}

/// An image that gave the bank no row is scored as any other image, and its peak is the largest value of its map.
#[test]
fn without_own_rows_an_image_is_any_other() {
    let _turn = turn();
    let device = &direct().1;
    let (images, backbone) = (parts(), Backbone::embedded().unwrap());
    let plan = ShardPlan::new(device, &backbone, &all(&images), &options(), &Quiet).unwrap();
    let (positions, dim) = (plan.positions(), plan.dim as usize);
    let mut e = vec![0.0; IMAGES * positions * dim];
    let mut z = vec![0.0; IMAGES * positions * plan.projected as usize];
    plan.features(device, &backbone, &all(&images), (&mut z, &mut e), &Quiet).unwrap();
    let rows = ShardRows {
        images: vec![String::new(); IMAGES],
        embeddings: e[..positions * dim].to_vec(),
        scores: (0..positions).map(|i| 1.0 + i as f32 / 9.0).collect(),
        places: (0..positions as u32).map(|p| [0, p]).collect(),
        ..ShardRows::default()
    };
    let model = plan.model(device, rows).unwrap();
    let left = plan.leave_one_out(device, &backbone, &model, &e, 0, &Quiet).unwrap();
    assert!(left[0].score.is_infinite(), "all rows are its own: {:?}", left[0]);
    let detector = Detector::new(device, &backbone, model).unwrap();
    let views: Vec<_> = images.iter().map(|image| image.as_image().unwrap()).collect();
    for (left, score) in left.iter().zip(detector.score(&views).unwrap()).skip(1) {
        let peak = score.map.iter().copied().fold(0.0, f32::max);
        assert!(
            (left.score / score.score - 1.0).abs() < 1e-5 && (left.peak / peak - 1.0).abs() < 1e-5,
            "{left:?}, {peak}"
        );
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let _turn = turn();
    let device = &direct().1;
    let (images, backbone) = (parts(), Backbone::embedded().unwrap());
    let plan =
        |options: &FitOptions| ShardPlan::new(device, &backbone, &all(&images).part(0..3), options, &Quiet);
    for (options, says) in [
        (options().discriminator(Discriminator::Auto), "the discriminator auto"),
        (options().group(Group::Window), "a group other than position"),
        (options().fit_aspect(FitAspect::Pad).discriminator(Discriminator::Gaussian), "with padding"),
    ] {
        let error = plan(&options).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("needs all features in one place"), "{error}");
    }
    let plan = plan(&options()).unwrap();
    let refused = |result: softpatch::Result<()>, says: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::InvalidOption(_)) && error.to_string().contains(says), "{error}");
    };
    let few = (&mut [0.0; 3][..], &mut [0.0; 3][..]);
    refused(plan.features(device, &backbone, &all(&images).part(0..3), few, &Quiet), "vectors has 3 values");
    refused(plan.outlier_scores(device, &backbone, &[0.0; 130], &Quiet).map(drop), "vectors has 130 values");
    refused(plan.choose(device, &backbone, &[0.0; 130], None, 1, &Quiet).map(drop), "vectors has 130 values");
    let few = plan.choose(device, &backbone, &[0.0; 256], Some(&[1.0]), 1, &Quiet);
    refused(few.map(drop), "distances has 1 values");
    refused(plan.distances(device, &backbone, &[0.0; 128], &[], &Quiet).map(drop), "centres has 0 values");
    let rows = |places: Vec<[u32; 2]>, value: f32| ShardRows {
        images: vec![String::new(); 3],
        embeddings: vec![value; places.len() * plan.dim as usize],
        scores: vec![1.0; places.len()],
        places,
        ..ShardRows::default()
    };
    refused(plan.model(device, ShardRows::default()).map(drop), "images has 0 values");
    refused(plan.model(device, rows(vec![], 1.0)).map(drop), "embeddings has 0 values");
    refused(plan.model(device, rows(vec![[3, 0]], 1.0)).map(drop), "row 0 of the bank comes from no patch");
    refused(plan.model(device, rows(vec![[0, 0]; 2], f32::NAN)).map(drop), "row 0 of the bank is no number");
    let model = plan.model(device, rows(vec![[0, 0]], 1.0)).unwrap();
    let image = vec![0.0; plan.positions() * plan.dim as usize];
    refused(
        plan.leave_one_out(device, &backbone, &model, &image, 3, &Quiet).map(drop),
        "images 3 to 4 are more",
    );
    for wrong in ["", "{}", "[]"] {
        refused(ShardPlan::from_json(wrong).map(drop), "the plan is none");
    }
    let text = plan.to_json().unwrap().replace("\"images\":3", "\"images\":0");
    refused(ShardPlan::from_json(&text).map(drop), "do not fit together");
    let mut other = plan.clone();
    other.grid[0] += 1;
    let patches = 3 * other.positions();
    let (mut z, mut e) =
        (vec![0.0; patches * plan.projected as usize], vec![0.0; patches * plan.dim as usize]);
    let images = all(&images);
    let sizes = other.features(device, &backbone, &images.part(0..3), (&mut z, &mut e), &Quiet);
    refused(sizes, "its sizes are not the backbone's");
}

/// Whatever sizes a plan names, no call panics or takes memory for more than its arrays.
#[test]
fn hostile_sizes_are_refused() {
    let _turn = turn();
    let device = &direct().1;
    let (images, backbone) = (parts(), Backbone::embedded().unwrap());
    let options = options().target_fpr(0.2);
    let plan = ShardPlan::new(device, &backbone, &all(&images).part(0..3), &options, &Quiet).unwrap();
    let right: serde_json::Value = serde_json::from_str(&plan.to_json().unwrap()).unwrap();
    let rows = ShardRows {
        images: vec![String::new(); 3],
        embeddings: vec![1.0; plan.dim as usize],
        scores: vec![1.0],
        places: vec![[0, 0]],
        ..ShardRows::default()
    };
    let model = plan.model(device, rows.clone()).unwrap();
    let mut refused = 0;
    for at in ["/images", "/grid/0", "/grid/1", "/frame/0", "/frame/1", "/dim", "/projected"] {
        for value in [0_u32, 1, 2, 4, 1 << 16, 1 << 31, u32::MAX] {
            let mut wrong = right.clone();
            *wrong.pointer_mut(at).unwrap() = value.into();
            let Ok(plan) = ShardPlan::from_json(&wrong.to_string()) else {
                refused += 1;
                continue;
            };
            for values in [&[][..], &[0.5; 4], &[0.5; 3 * 128], &[0.5; 16 * 152]] {
                let told = [
                    plan.outlier_scores(device, &backbone, values, &Quiet).map(drop),
                    plan.choose(device, &backbone, values, None, 2, &Quiet).map(drop),
                    plan.distances(device, &backbone, values, &[0.5; 128], &Quiet).map(drop),
                    plan.leave_one_out(device, &backbone, &model, values, 0, &Quiet).map(drop),
                ];
                for error in told.into_iter().filter_map(Result::err) {
                    assert!(
                        matches!(error, Error::InvalidOption(_) | Error::Limit(_)),
                        "{at} is {value}: {error}"
                    );
                }
            }
            let _ = plan.model(device, rows.clone());
            let (mut z, mut e) = (vec![0.0; 3 * 16 * 128], vec![0.0; 3 * 16 * 152]);
            let made = plan.features(device, &backbone, &all(&images).part(0..3), (&mut z, &mut e), &Quiet);
            assert!(made.is_err() || at == "/images", "{at} is {value}");
        }
    }
    assert!(refused > 20, "{refused}");
}
