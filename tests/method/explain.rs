//! What a patch was compared with, and what would have to be allowed.

use crate::common::{direct, turn};
use softpatch::data::{MemorySource, OwnedImage};
use softpatch::detector::Explanation;
use softpatch::{Backbone, Detector, Discriminator, FitOptions, Quiet, Size};

const SIDE: u32 = 96;
const BLOCK: u32 = 24;

/// A grey part of its own shade, with a chequered block at a place; `more` is added to it.
fn part(shade: u8, block: Option<([u32; 2], u8)>) -> OwnedImage {
    let mut pixels = vec![shade; (3 * SIDE * SIDE) as usize];
    if let Some(([left, top], more)) = block {
        for y in 0..BLOCK {
            for x in 0..BLOCK {
                let value = if (x / 4 + y / 6) % 2 == 0 { 20 } else { 220 };
                let at = (3 * ((top + y) * SIDE + left + x)) as usize;
                pixels[at..at + 3].fill(value + more);
            }
        }
    }
    OwnedImage { width: SIDE, height: SIDE, pixels }
}

fn detector() -> Detector {
    let (_, device) = direct();
    // All patches are kept and in the bank; the blocks are in two of them.
    let mut images: Vec<OwnedImage> = (0..8).map(|i| part(110 + 2 * i, None)).collect();
    images[3] = part(116, Some(([24, 24], 0)));
    images[6] = part(122, Some(([48, 16], 0)));
    let options = FitOptions {
        size: Size::Shorter(SIDE),
        discriminator: Discriminator::None,
        coreset_ratio: 1.0,
        ..FitOptions::default()
    };
    Detector::fit(device, &Backbone::embedded().unwrap(), &MemorySource(&images), &options, &Quiet).unwrap()
}

fn explain(detector: &Detector, image: &OwnedImage) -> Explanation {
    detector.explain(&image.as_image().unwrap(), 3, 3).unwrap()
}

#[test]
fn a_patch_is_traced_to_the_picture_and_place_that_it_comes_from() {
    let _turn = turn();
    let detector = detector();
    let columns = detector.info().grid[1];
    let cell = SIDE / columns;
    // The block of picture 3, brighter by a little, where it was, and moved by 16 pixels.
    for (moved, exactly) in [(0, true), (16, false)] {
        let image = part(116, Some(([24 + moved, 24 + moved], 6)));
        let explained = explain(&detector, &image);
        let place = &explained.places[0];
        // On the block, or beside it.
        let near = |v: u32| (24 + moved - cell..=48 + moved + cell).contains(&(v * cell + cell / 2));
        assert!(place.at.iter().all(|v| near(*v)), "{:?}", place.at);
        let first = &place.neighbours[0];
        assert_eq!(first.image, 3, "{place:?}");
        let from = first.at.map(i64::from);
        let expected = place.at.map(|v| i64::from(v) - i64::from(moved / cell));
        let reach = i64::from(!exactly);
        assert!((0..2).all(|i| (from[i] - expected[i]).abs() <= reach), "{from:?}, not {expected:?}");
        assert_eq!(first.name, detector.info().images[3]);
        // Each of another picture, ever farther; the first has the score.
        let pictures: std::collections::BTreeSet<u32> = place.neighbours.iter().map(|n| n.image).collect();
        assert_eq!((place.neighbours.len(), pictures.len()), (3, 3));
        assert!(place.neighbours.windows(2).all(|w| w[0].distance <= w[1].distance));
        assert_eq!(first.score, place.score);
        assert_eq!(place.score, explained.score.score);
        assert_eq!(detector.patch_box(place.at, [SIDE, SIDE]).unwrap(), place.bbox);
    }
}

#[test]
fn further_pictures_are_those_that_a_plain_search_finds() {
    let _turn = turn();
    let detector = detector();
    let image = part(117, Some(([32, 40], 0)));
    let borrowed = image.as_image().unwrap();
    let before = detector.score(&[borrowed]).unwrap();
    let examined = detector.examine(&borrowed, None).unwrap();
    let explained = detector.explain(&borrowed, 2, 4).unwrap();
    let (bank, dim, columns) = (&detector.model().bank, examined.dim as usize, examined.grid[1]);
    for place in &explained.places {
        let at = (place.at[0] * columns + place.at[1]) as usize;
        let x = &examined.embeddings[at * dim..][..dim];
        // The nearest distance of each picture, in f64.
        let mut nearest = [f64::INFINITY; 8];
        for (row, [from, ..]) in bank.rows.chunks_exact(dim).zip(&bank.provenance) {
            let d: f64 = row.iter().zip(x).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
            nearest[*from as usize] = nearest[*from as usize].min(d);
        }
        let mut order = nearest;
        order.sort_by(f64::total_cmp);
        for (neighbour, want) in place.neighbours.iter().zip(order) {
            let got = f64::from(neighbour.distance);
            assert!((got - want).abs() <= 1e-3 * want, "{got}, not {want}");
            assert!((nearest[neighbour.image as usize] - want).abs() <= 1e-3 * want);
        }
        assert_eq!(place.neighbours.len(), 4);
    }
    // The search for them leaves the bank as it was.
    assert_eq!(detector.score(&[borrowed]).unwrap(), before);
    assert_eq!(explain(&detector, &image).score, before[0]);
}

#[test]
fn the_patches_above_the_threshold_are_what_would_have_to_be_allowed() {
    let _turn = turn();
    let detector = detector();
    let threshold = detector.info().threshold.unwrap();
    let explained = explain(&detector, &part(200, None));
    let above = explained.score.patches.iter().filter(|s| **s > threshold).count();
    assert!(above > 0 && explained.over.len() == above, "{above} and {}", explained.over.len());
    assert!(explained.over.windows(2).all(|w| w[0].score >= w[1].score));
    assert_eq!(explained.over[0].at, explained.places[0].at);
    assert!(explained.places[0].patches > 0);
    // Worst first: those above it come before those that are not.
    for place in &explained.places {
        assert_eq!(place.above_threshold, Some(place.score > threshold));
        assert_eq!(place.patches > 0, place.score > threshold);
    }
    // Places are apart.
    for (i, a) in explained.places.iter().enumerate() {
        assert!(explained.places[..i].iter().all(|b| (0..2).any(|c| a.at[c].abs_diff(b.at[c]) > 2)));
    }
    // A training picture passes.
    let passes = explain(&detector, &part(110, None));
    assert_eq!((passes.over.len(), passes.score.anomalous), (0, Some(false)));
    assert!(passes.places.iter().all(|place| place.above_threshold == Some(false)));
}
