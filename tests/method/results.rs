//! Scores in the pixels of their images: maps, peaks, regions, and the thresholds that they are found by.

use crate::common::{assert_close, checked, direct, gamma, turn};
use softpatch::data::synth::{Material, render};
use softpatch::data::{Frame, MemorySource, OwnedImage};
use softpatch::detector::{
    Backbone, Detector, FitAspect, FitOptions, Geometry, Model, Quiet, Size, Stream, Want, regions,
};
use softpatch::low_level::gpu::Device;
use softpatch::low_level::reference::map::source_map::source_map;
use std::path::Path;

/// The upper left `width` x `height` pixels of a painted part.
fn part(seed: u64, width: u32, height: u32) -> OwnedImage {
    let side = width.max(height) as usize;
    let (whole, _) = render(Material::Metal, None, seed, side as u32).unwrap();
    let rows = whole.pixels.chunks_exact(3 * side).take(height as usize);
    let pixels = rows.flat_map(|row| &row[..3 * width as usize]).copied().collect();
    OwnedImage { width, height, pixels }
}

/// With a black square of `side` pixels at `(x, y)`.
fn spoilt(mut image: OwnedImage, [x, y]: [u32; 2], side: u32) -> OwnedImage {
    for row in y..y + side {
        let at = ((row * image.width + x) * 3) as usize;
        image.pixels[at..at + 3 * side as usize].fill(0);
    }
    image
}

fn fit(device: &Device, geometry: Geometry, fit_aspect: FitAspect) -> Detector {
    let good: Vec<OwnedImage> = (0..9).map(|i| part(i, 150, 100)).collect();
    let options = if geometry == Geometry::Paper {
        FitOptions::paper(96, 80)
    } else {
        FitOptions { size: Size::Shorter(96), fit_aspect, ..FitOptions::default() }
    };
    let options = options.coreset_ratio(0.25);
    Detector::fit(device, &Backbone::embedded().unwrap(), &MemorySource(&good), &options, &Quiet).unwrap()
}

/// Every geometry, sources of other sizes and aspects than the frame: the map is the reference's, and a spot
/// is where it was painted.
#[test]
fn maps_peaks_and_regions_are_in_the_pixels_of_the_image() {
    let _turn = turn();
    let ways = [
        (Geometry::Whole, FitAspect::Stretch),
        (Geometry::Whole, FitAspect::Pad),
        (Geometry::Whole, FitAspect::Crop),
        (Geometry::Paper, FitAspect::Stretch),
    ];
    for (geometry, aspect) in ways {
        let [(name, device), _] = checked();
        let detector = fit(device, geometry, aspect);
        let what = format!("{name} {geometry} {aspect}");
        for (width, height) in [(150, 100), (301, 199), (120, 120), (75, 50)] {
            let what = format!("{what} {width}x{height}");
            let at = [width / 2, height / 3];
            let side = height / 6;
            let image = spoilt(part(30, width, height), at, side);
            let view = image.as_image().unwrap();
            let source = detector.score_one(&view, Want::Source).unwrap();
            assert_eq!((source.size, source.map_size), ([width, height], [height, width]), "{what}");

            let placement = detector.info().framing().place(width, height).unwrap();
            let axis = |n: u32, resized: u32, first: i64, side: u32| {
                [i64::from(n), i64::from(resized), first, i64::from(side)]
            };
            let want = source_map(
                &source.patches,
                source.grid.map(|g| g as usize),
                axis(height, placement.height, placement.top, placement.frame[0]),
                axis(width, placement.width, placement.left, placement.frame[1]),
            );
            let error = source.score * gamma((source.grid[0] + source.grid[1]) as usize + 4);
            assert_close(&what, &source.map, &want, error, 0.0);

            // What is told of the spot by all of the image's pixels, by the frame's, and by patches alone.
            let frame = detector.score_one(&view, Want::Maps).unwrap();
            let plain = detector.score_one(&view, Want::Scores).unwrap();
            assert!(plain.map.is_empty() && plain.map_size == detector.info().frame, "{what}");
            assert_eq!(frame.map.len() as u32, detector.info().frame.iter().product::<u32>(), "{what}");
            for score in [&source, &frame, &plain] {
                assert_eq!((score.score, &score.patches), (source.score, &source.patches), "{what}");
                // A patch sees 8 pixels of the frame, and more around them.
                let near = 12.0 * f64::from(width) / f64::from(placement.width);
                let middle = at.map(|v| f64::from(v) + f64::from(side) / 2.0);
                let off = [0, 1].map(|i| (f64::from(score.peak[i]) - middle[i]).abs());
                let room = near + f64::from(side) / 2.0;
                assert!(off[0] <= room && off[1] <= room, "{what}: {:?} for {middle:?}", score.peak);
            }
            assert_eq!(source.map[(source.peak[1] * width + source.peak[0]) as usize], {
                source.map.iter().copied().fold(0.0, f32::max)
            });

            // One comes from the other.
            for from in [&source, &frame, &plain] {
                for to in [&source, &frame, &plain] {
                    let made = detector.complete(from.clone(), to.want).unwrap();
                    assert_eq!(
                        (&made.map, made.peak, made.map_size),
                        (&to.map, to.peak, to.map_size),
                        "{what}"
                    );
                }
            }

            let found = detector.regions(&source).unwrap();
            let threshold = detector.info().pixel_threshold.unwrap();
            assert_eq!(found, regions(&source.map, [height, width], threshold).unwrap());
            assert_eq!(detector.regions(&plain).unwrap(), found, "{what}");
            let [x, y] = at;
            let on_spot = |r: &&softpatch::detector::Region| {
                let [left, top, w, h] = r.bbox;
                left <= x + side && x <= left + w && top <= y + side && y <= top + h
            };
            assert!(found.iter().find(on_spot).is_some_and(|r| r.peak == found[0].peak), "{what}: {found:?}");
        }
    }
}

#[test]
fn the_pixel_threshold_goes_into_the_file_and_may_be_missing() {
    let _turn = turn();
    let (_, device) = direct();
    let detector = fit(device, Geometry::Whole, FitAspect::Stretch);
    let info = detector.info();
    let [image, pixel] = [info.threshold, info.pixel_threshold].map(Option::unwrap);
    // A blurred map is lower than the scores that it is made of.
    assert!(0.0 < pixel && pixel < image, "{pixel} {image}");
    let bytes = detector.model().to_bytes().unwrap();
    let loaded = Model::from_bytes(&bytes, Path::new("model")).unwrap();
    assert_eq!(loaded.info.pixel_threshold, Some(pixel));

    let mut old = loaded;
    old.info.pixel_threshold = None;
    let bytes = old.to_bytes().unwrap();
    assert!(!bytes.windows(15).any(|w| w == b"pixel_threshold"));
    let backbone = Backbone::embedded().unwrap();
    let old = Model::from_bytes(&bytes, Path::new("model")).unwrap();
    let old = Detector::new(device, &backbone, old).unwrap();
    let spot = spoilt(part(30, 150, 100), [70, 30], 25);
    let score = old.score_one(&spot.as_image().unwrap(), Want::Source).unwrap();
    assert_eq!(old.regions(&score).unwrap(), regions(&score.map, [100, 150], image).unwrap());

    let mut none = old.model().clone();
    none.info.threshold = None;
    let none = Detector::new(device, &backbone, none).unwrap();
    assert!(none.regions(&score).unwrap().is_empty());
}

#[test]
fn streams_and_sources_have_what_is_wanted() {
    let _turn = turn();
    let (_, device) = direct();
    let detector = std::sync::Arc::new(fit(device, Geometry::Whole, FitAspect::Pad));
    let images: Vec<OwnedImage> =
        [(150, 100), (80, 90), (300, 60)].iter().map(|&(w, h)| part(40, w, h)).collect();
    for want in [Want::Scores, Want::Maps, Want::Source] {
        let expected: Vec<_> =
            images.iter().map(|i| detector.score_one(&i.as_image().unwrap(), want).unwrap()).collect();
        assert!(expected.iter().all(|s| s.want == want));
        let views: Vec<_> = images.iter().map(|i| i.as_image().unwrap()).collect();
        assert_eq!(detector.score_with(&views, want).unwrap(), expected);
        let mut scores = Vec::new();
        let collect = |_, score| {
            // Within it, other maps can be made.
            detector.regions(&score)?;
            scores.push(score);
            Ok(())
        };
        detector.score_source(&MemorySource(&images), want, &Quiet, collect).unwrap();
        assert_eq!(scores, expected);
        let stream = Stream::new(detector.clone(), 2, want).unwrap();
        let frames: Vec<Frame> = views.iter().map(Frame::copy_of).collect();
        let streamed: Vec<_> = stream.scores(&frames).map(|f| f.score.unwrap()).collect();
        assert_eq!(streamed, expected);
    }
}

/// Patches that are looked at alone have the score they have among others, and the rows say the same as the
/// bank.
#[test]
fn what_is_examined_scores_the_same() {
    let _turn = turn();
    for (name, device) in checked() {
        for aspect in [FitAspect::Stretch, FitAspect::Pad] {
            let detector = fit(device, Geometry::Whole, aspect);
            let picture = spoilt(part(77, 140, 130), [40, 30], 20);
            let (image, what) = (picture.as_image().unwrap(), format!("{name} {aspect}"));
            let examined = detector.examine(&image, None).unwrap();
            let scored = detector.score_one(&image, Want::Maps).unwrap();
            assert_eq!(detector.score_of(&examined, [140, 130]).unwrap(), scored, "{what}");
            let (bank, dim) = (&detector.model().bank, examined.dim as usize);
            let padded = examined.nearest.iter().filter(|n| n.is_none()).count();
            assert_eq!(padded > 0, aspect == FitAspect::Pad, "{what}");
            for (x, nearest) in examined.embeddings.chunks_exact(dim).zip(&examined.nearest) {
                let to = |row: usize| -> f64 {
                    let row = &bank.rows[row * dim..][..dim];
                    x.iter().zip(row).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
                };
                let Some(nearest) = nearest else { continue };
                let least = (0..bank.weights.len()).map(to).fold(f64::INFINITY, f64::min);
                let bound = f64::from(gamma(dim + 3)) * least;
                assert!(
                    (to(nearest.row as usize) - least).abs() <= 2.0 * bound,
                    "{what}: another row is nearer"
                );
                assert!((f64::from(nearest.distance) - least).abs() <= 2.0 * bound, "{what}");
            }
        }
    }
}

/// A training image that is examined without its own rows is near to those of others alone.
#[test]
fn an_image_is_examined_without_its_own_rows() {
    let _turn = turn();
    let [(_, device), _] = checked();
    let detector = fit(device, Geometry::Whole, FitAspect::Stretch);
    let picture = part(3, 150, 100);
    let (image, bank) = (picture.as_image().unwrap(), &detector.model().bank);
    let from = |without| -> Vec<u32> {
        let examined = detector.examine(&image, without).unwrap();
        examined.nearest.iter().map(|n| bank.provenance[n.unwrap().row as usize][0]).collect()
    };
    assert!(from(None).contains(&3));
    assert!(!from(Some(3)).contains(&3));
}
