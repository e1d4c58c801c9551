//! Regions of interest, padding, and what is ignored: neither learned, nor judged, nor scored.

use crate::common::{direct, turn};
use softpatch::data::synth::{Defect, Material, render};
use softpatch::data::{MemorySource, OwnedImage, Roi, WithRoi};
use softpatch::detector::{FitAspect, Group, Want};
use softpatch::{Backbone, Detector, Device, Discriminator, Error, FitOptions, Quiet, Size};

const SIDE: u32 = 96;

fn images() -> Vec<OwnedImage> {
    (0..8).map(|i| render(Material::Metal, None, i, SIDE).unwrap().0).collect()
}

/// The same pictures, black right of column 48.
fn spoilt(images: &[OwnedImage]) -> Vec<OwnedImage> {
    let mut images = images.to_vec();
    for (i, image) in images.iter_mut().enumerate() {
        for row in image.pixels.chunks_exact_mut(3 * SIDE as usize) {
            row[3 * 48..].fill(if i % 2 == 0 { 0 } else { 255 });
        }
    }
    images
}

fn left_half() -> Roi {
    // Of another size than the pictures: it is laid over them.
    Roi::new(4, 2, [true, true, false, false].repeat(2)).unwrap()
}

fn fit(
    device: &Device,
    images: &[OwnedImage],
    options: &FitOptions,
    roi: Option<Roi>,
) -> softpatch::Result<Detector> {
    let backbone = Backbone::embedded()?;
    Detector::fit(device, &backbone, &WithRoi::new(MemorySource(images), roi), options, &Quiet)
}

fn options() -> FitOptions {
    FitOptions { size: Size::Shorter(SIDE), coreset_ratio: 0.3, ..FitOptions::default() }
}

#[test]
fn what_lies_outside_of_a_region_of_interest_is_not_looked_at() {
    let _turn = turn();
    let (_, device) = direct();
    let good = images();
    for (discriminator, group) in [
        (Discriminator::Lof, Group::Position),
        (Discriminator::Lof, Group::Window),
        (Discriminator::Nearest, Group::Global),
        (Discriminator::None, Group::Position),
        (Discriminator::Auto, Group::Position),
    ] {
        let options = FitOptions { discriminator, group, ..options() };
        let detector = fit(device, &spoilt(&good), &options, Some(left_half())).unwrap();
        let info = detector.info();
        let columns = info.grid[1];
        assert_eq!(info.looked_at, Some(0.5));
        assert!(detector.model().bank.provenance.iter().all(|[_, _, x]| *x < columns / 2));
        let of_patches = f64::from(info.grid[0] * columns / 2) * good.len() as f64;
        let drops = ![Discriminator::None, Discriminator::Auto].contains(&discriminator);
        let tau = if drops { info.options.tau } else { 0.0 };
        assert!((info.kept as f64 - of_patches * (1.0 - tau)).abs() <= 1.0, "{} kept", info.kept);
        assert_eq!(u64::from(info.rows), (of_patches * 0.3) as u64);

        // Saved and loaded, it looks at the same.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.safetensors");
        detector.save(&file).unwrap();
        let loaded = Detector::load(device, &Backbone::embedded().unwrap(), &file).unwrap();
        // A defect on the right is not seen, whatever is there; one on the left is.
        let views = spoilt(&good[..2]);
        for detector in [&detector, &loaded] {
            let view =
                |image: &OwnedImage| detector.score_with(&[image.as_image().unwrap()], Want::Source).unwrap();
            let (a, b) = (view(&views[0]), view(&views[1]));
            for score in a.iter().chain(&b) {
                let right = |len: usize, at: usize| at % len >= len / 2;
                let width = SIDE as usize;
                assert!(score.map.iter().enumerate().all(|(i, v)| !right(width, i) || *v == 0.0));
                let grid = columns as usize;
                assert!(score.patches.iter().enumerate().all(|(i, v)| !right(grid, i) || *v == 0.0));
                assert!(score.map.iter().any(|v| *v > 0.0) && score.peak[0] < SIDE / 2);
            }
        }
        assert_eq!(detector.model().roi, loaded.model().roi);
    }
}

#[test]
fn what_is_ignored_is_not_scored() {
    let _turn = turn();
    let (_, device) = direct();
    let good = images();
    let detector = fit(device, &good, &options(), None).unwrap();
    let (bad, mask) = render(Material::Metal, Some(Defect::Stain), 99, SIDE).unwrap();
    let stain = Roi::new(SIDE, SIDE, mask).unwrap();
    let image = [bad.as_image().unwrap()];
    let before = detector.score(&image).unwrap();
    // All but a wide border around the defect.
    let near = |x: u32, y: u32| {
        let (x, y) = (x as i64, y as i64);
        (0..SIDE as i64).any(|v| {
            (0..SIDE as i64)
                .any(|u| stain.is_inside(u as u32, v as u32) && (u - x).abs() < 25 && (v - y).abs() < 25)
        })
    };
    let kept = (0..SIDE * SIDE).map(|i| !near(i % SIDE, i / SIDE)).collect();
    detector.keep_to(Some(&Roi::new(SIDE, SIDE, kept).unwrap())).unwrap();
    let ignored = detector.score(&image).unwrap();
    assert!(ignored[0].score < before[0].score, "{} {}", ignored[0].score, before[0].score);
    let [x, y] = ignored[0].peak;
    assert!(!near(x, y), "the peak {x}, {y} is ignored");
    // And all is as before once nothing is ignored.
    detector.keep_to(None).unwrap();
    assert_eq!(detector.score(&image).unwrap(), before);
    let nothing = Roi::new(1000, 1, (0..1000).map(|x| x == 0).collect()).unwrap();
    assert!(matches!(detector.keep_to(Some(&nothing)), Err(Error::InvalidOption(_))));
}

#[test]
fn padding_is_neither_learned_nor_scored() {
    let _turn = turn();
    let (_, device) = direct();
    // Six square pictures and two low ones.
    let mut pictures = images();
    for image in &mut pictures[6..] {
        image.pixels.truncate(3 * (SIDE * 48) as usize);
        image.height = 48;
    }
    let options = FitOptions { fit_aspect: FitAspect::Pad, ..options() };
    let detector = fit(device, &pictures, &options, None).unwrap();
    let info = detector.info();
    assert_eq!((info.frame, info.grid), ([96, 96], [12, 12]));
    // Rows 24 to 72 of the frame.
    assert!(detector.model().bank.provenance.iter().all(|[image, y, _]| *image < 6 || (3..9).contains(y)));
    let all = detector.score(&pictures.iter().map(|i| i.as_image().unwrap()).collect::<Vec<_>>()).unwrap();
    for (i, score) in all.iter().enumerate() {
        assert_eq!(score.size, [pictures[i].width, pictures[i].height]);
        for (at, patch) in score.patches.iter().enumerate() {
            assert!(i < 6 || (3..9).contains(&(at / 12)) || *patch == 0.0, "image {i}, patch {at}: {patch}");
        }
    }
    // In whatever company it is scored.
    let low = detector.score(&[pictures[7].as_image().unwrap()]).unwrap();
    assert_eq!((low[0].score, &low[0].patches), (all[7].score, &all[7].patches));

    for (options, says) in [
        (
            FitOptions { discriminator: Discriminator::Gaussian, ..options.clone() },
            "gaussian knows no patches",
        ),
        (options.clone().lof_k(1).coreset_ratio(1.0), ""),
    ] {
        match fit(device, &pictures, &options, None) {
            Ok(detector) => assert!(says.is_empty() && detector.info().kept > 0),
            Err(error) => assert!(error.to_string().contains(says) && !says.is_empty(), "{error}"),
        }
    }
}
