//! Models that are verified, and mended without a new fit.

use crate::common::{checked, direct, tiled, turn};
use softpatch::Error;
use softpatch::data::synth::{Defect, Material, render};
use softpatch::data::{MemorySource, Named, OwnedImage, Roi};
use softpatch::detector::{
    Backbone, DENY_AT_MOST, Detector, Discriminator, EditKind, FitOptions, Model, Quiet, Size, Want,
};
use softpatch::low_level::gpu::Device;
use std::path::Path;

fn part(defect: Option<Defect>, seed: u64) -> OwnedImage {
    render(Material::Metal, defect, seed, 96).unwrap().0
}

/// With a black square of 20 pixels at (40, 40), over five patches by five at most.
fn spoilt(mut image: OwnedImage) -> OwnedImage {
    for row in 40..60 {
        image.pixels[(row * 96 + 40) * 3..][..60].fill(0);
    }
    image
}

const SPOT: [u32; 4] = [40, 40, 20, 20];

fn options() -> FitOptions {
    FitOptions { size: Size::Shorter(96), coreset_ratio: 0.25, ..FitOptions::default() }
}

fn fit_on(device: &Device, images: &[OwnedImage], options: &FitOptions) -> Detector {
    let names: Vec<String> = (0..images.len()).map(|i| format!("parts/{i:03}.png")).collect();
    let source = Named::new(MemorySource(images), names).unwrap();
    let backbone = Backbone::embedded().unwrap();
    let mut detector = Detector::fit(device, &backbone, &source, options, &Quiet).unwrap();
    detector.keep_references(&source).unwrap();
    detector
}

pub(crate) fn fit(device: &Device) -> Detector {
    fit_on(device, &(0..10).map(|i| part(None, i)).collect::<Vec<_>>(), &options())
}

fn again(model: &Model, device: &Device) -> Detector {
    Detector::new(device, &Backbone::embedded().unwrap(), model.clone()).unwrap()
}

fn bytes(model: &Model) -> Vec<u8> {
    model.to_bytes().unwrap()
}

fn read(bytes: &[u8]) -> Result<Model, Error> {
    Model::from_bytes(bytes, Path::new("m.safetensors"))
}

fn score(detector: &Detector, image: &OwnedImage) -> f32 {
    detector.score_one(&image.as_image().unwrap(), Want::Scores).unwrap().score
}

/// The same file is the same on the device that made it and on one of the other family; what was changed in
/// the file is found.
#[test]
fn a_model_is_verified_by_what_it_keeps() {
    let _turn = turn();
    let (_, device) = direct();
    let detector = fit(device);
    let references = detector.model().references.clone().unwrap();
    assert_eq!(references.pictures.len(), 8);
    assert!(bytes(detector.model()).len() < 1_000_000 + bytes(&without_references(&detector)).len());
    let loaded = read(&bytes(detector.model())).unwrap();
    assert_eq!(&loaded, detector.model());
    let found = again(&loaded, device).verify().unwrap();
    assert!(found.ok() && found.largest_difference == 0.0, "{found:?}");
    assert_eq!((found.count, found.rank_changes, found.verdict_flips, found.edits), (8, 0, 0, 0));
    let (other, device) = tiled();
    let found = again(&loaded, device).verify().unwrap();
    assert!(found.ok(), "{other}: {found:?}");

    // A value of the row that the highest reference is nearest to.
    let verify = |change: &dyn Fn(&mut Model)| {
        let mut model = loaded.clone();
        change(&mut model);
        again(&read(&bytes(&model)).unwrap(), device).verify().unwrap()
    };
    let highest = references.pictures.last().unwrap();
    let image = softpatch::data::decode_bytes("a", &highest.png, &Default::default()).unwrap();
    let examined = detector.examine(&image.as_image().unwrap(), None).unwrap();
    let patches = detector.score_of(&examined, highest.size).unwrap().patches;
    let top = (0..patches.len()).max_by(|&a, &b| patches[a].total_cmp(&patches[b])).unwrap();
    let row = examined.nearest[top].unwrap().row as usize;
    let dim = loaded.info.dim as usize;
    let found = verify(&|m| m.bank.weights[row] *= 1.05);
    assert!(!found.ok() && !found.same_bank && found.largest_difference > 0.04, "{found:?}");
    let found = verify(&|m| m.bank.rows[row * dim..][..dim].iter_mut().for_each(|v| *v *= 1.1));
    assert!(!found.ok() && !found.same_bank && found.largest_difference > found.bound, "{found:?}");
    // What no reference is near to, the fingerprint tells.
    let far = (0..loaded.info.rows as usize)
        .find(|row| examined.nearest.iter().flatten().all(|n| n.row as usize != *row));
    let found = verify(&|m| m.bank.weights[far.unwrap()] *= 1.0001);
    assert!(!found.ok() && !found.same_bank, "{found:?}");
    let found = verify(&|m| m.info.threshold = m.info.threshold.map(|t| t * 0.1));
    assert!(!found.ok() && found.same_bank && !found.same_thresholds && found.verdict_flips > 0, "{found:?}");
}

fn without_references(detector: &Detector) -> Model {
    Model { references: None, ..detector.model().clone() }
}

#[test]
fn models_without_references_load_and_say_so() {
    let _turn = turn();
    let (_, device) = direct();
    let mut detector = fit(device);
    let plain = without_references(&detector);
    let file = bytes(&plain);
    assert!(!file.windows(9).any(|w| w == b"reference") && !file.windows(7).any(|w| w == b"history"));
    let error = again(&read(&file).unwrap(), device).verify().unwrap_err().to_string();
    assert!(error.contains("no reference pictures") && error.contains("keep-references"), "{error}");
    detector.forget_references();
    assert_eq!(bytes(detector.model()), file);
    // Of other pictures than the training images, too; not while something is ignored.
    let others: Vec<OwnedImage> = (20..23).map(|i| part(None, i)).collect();
    assert_eq!(detector.keep_references(&MemorySource(&others)).unwrap(), 3);
    assert!(detector.verify().unwrap().ok());
    detector.keep_to(Some(&Roi::new(2, 1, vec![true, false]).unwrap())).unwrap();
    assert!(detector.verify().is_err() && detector.keep_references(&MemorySource(&others)).is_err());
    detector.keep_to(None).unwrap();
    assert!(detector.verify().unwrap().ok());
    let none: &[OwnedImage] = &[];
    assert!(detector.keep_references(&MemorySource(none)).is_err());
}

#[test]
fn references_of_hostile_sizes_are_refused() {
    let _turn = turn();
    let (_, device) = direct();
    let model = fit(device).model().clone();
    let refused = |change: &dyn Fn(&mut softpatch::detector::References)| {
        let mut model = model.clone();
        change(model.references.as_mut().unwrap());
        read(&bytes(&model)).unwrap_err().to_string()
    };
    let big = |sides: [u32; 2]| {
        move |r: &mut softpatch::detector::References| {
            let picture = &mut r.pictures[0];
            picture.size = sides;
            for (side, at) in sides.into_iter().zip([16, 20]) {
                picture.png[at..at + 4].copy_from_slice(&side.to_be_bytes());
            }
        }
    };
    for (what, error) in [
        ("not 1 to 4096", refused(&big([1 << 20, 4]))),
        ("not 1 to 4096", refused(&big([0, 4]))),
        ("the pixels are", refused(&|r| r.pictures[0].size = [7, 7])),
        ("the pixels are None", refused(&|r| r.pictures[0].png.truncate(20))),
        ("more than 1000000", refused(&|r| r.pictures[0].png.resize(1_000_001, 0))),
        (
            "not 1 to 16",
            refused(&|r| r.pictures = [r.pictures.clone(), r.pictures.clone(), r.pictures.clone()].concat()),
        ),
        ("not 1 to 16", refused(&|r| r.pictures.clear())),
        ("not of this model", refused(&|r| r.pictures.iter_mut().for_each(|p| p.patches.truncate(3)))),
    ] {
        assert!(error.contains("damaged") && error.contains(what), "{what}: {error}");
    }
    // A header that is right, and pixels that are not, are found as they are looked at.
    let mut model = model.clone();
    let png = &mut model.references.as_mut().unwrap().pictures[0].png;
    let end = png.len() - 40;
    png.truncate(end);
    let error = again(&read(&bytes(&model)).unwrap(), device).verify().unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
}

/// With a checksum that fits, as whoever makes a file can have it.
#[test]
fn models_of_hostile_parts_are_refused() {
    let _turn = turn();
    let (_, device) = direct();
    let model = fit(device).model().clone();
    let refused = |change: &dyn Fn(&mut Model)| {
        let mut model = model.clone();
        change(&mut model);
        let read =
            read(&bytes(&model)).and_then(|m| Detector::new(device, &Backbone::embedded().unwrap(), m));
        read.map(drop).unwrap_err().to_string()
    };
    for (what, error) in [
        ("a grid of", refused(&|m| m.info.grid = [1 << 16; 2])),
        ("a grid of", refused(&|m| m.info.grid = [0, 12])),
        ("its patches are [4096, 4096]", refused(&|m| (m.references, m.info.grid) = (None, [4096; 2]))),
        ("a frame of", refused(&|m| m.info.frame = [u32::MAX; 2])),
        ("do not fit together", refused(&|m| m.bank.provenance[0][0] = 10)),
        ("do not fit together", refused(&|m| m.bank.provenance[0][2] = u32::MAX)),
        ("do not fit together", refused(&|m| m.bank.weights[0] = f32::NAN)),
        ("do not fit together", refused(&|m| m.bank.rows[0] = f32::INFINITY)),
        ("batch is 4294967295", refused(&|m| m.info.options.batch = u32::MAX)),
    ] {
        assert!(error.contains(what), "{what}: {error}");
    }
}

/// A false alarm passes once it is allowed, others are still found; and it is taken back in every bit.
#[test]
fn what_is_allowed_passes_and_undo_gives_the_same_bits() {
    let _turn = turn();
    let [(_, first), (_, second)] = checked();
    for (name, device) in [("direct", first), ("tiled", second)] {
        let mut detector = fit(device);
        let before = bytes(detector.model());
        let alarm = spoilt(part(None, 30));
        let view = alarm.as_image().unwrap();
        let other = part(Some(Defect::Stain), 31);
        let scores = |d: &Detector| [score(d, &alarm), score(d, &other)];
        let old = scores(&detector);
        let threshold = detector.info().threshold.unwrap();
        assert!(old[0] > threshold, "{name}: {old:?} {threshold}");

        let done = detector.allow("new/alarm.png", &view, None).unwrap();
        assert_eq!(
            (done.before, done.was_anomalous, done.anomalous),
            (old[0], Some(true), Some(false)),
            "{name}"
        );
        assert_eq!(scores(&detector)[0], done.after, "{name}");
        assert!(done.after <= threshold && done.edit.added > 0 && done.edit.removed == 0, "{name}: {done:?}");
        let info = detector.info();
        assert_eq!(info.images.last().unwrap(), "new/alarm.png");
        assert_eq!(info.allowed().collect::<Vec<_>>(), ["new/alarm.png"]);
        assert_eq!((info.images.len(), info.history.len()), (11, 1));
        let loaded = read(&bytes(detector.model())).unwrap();
        assert_eq!(&loaded, detector.model());
        assert_eq!(scores(&again(&loaded, device)), scores(&detector), "{name}");
        // It passes now, so that there is nothing to allow, but for a region.
        let error = detector.allow("new/alarm.png", &view, None).unwrap_err().to_string();
        assert!(error.contains("passes as it is"), "{error}");
        detector.allow("new/alarm.png", &view, Some([0, 0, 9, 9])).unwrap();
        assert_eq!(detector.info().images.last().unwrap(), "new/alarm.png (allowed 2)");
        for region in [[0, 0, 0, 5], [90, 0, 7, 5], [0, u32::MAX, 2, 2]] {
            let error = detector.allow("x", &view, Some(region)).unwrap_err().to_string();
            assert!(error.contains("does not lie in a picture of 96x96"), "{error}");
        }

        // Against the model that was approved, with what edits changed beside it.
        let found = detector.verify().unwrap();
        assert!(
            found.ok() && found.edits == 2 && found.pictures.iter().all(|p| p.edited.is_some()),
            "{found:?}"
        );
        let mut tampered = detector.model().clone();
        *tampered.bank.weights.last_mut().unwrap() += 1.0;
        assert!(!again(&tampered, device).verify().unwrap().same_bank);

        let mut model = detector.model().clone();
        assert_eq!(model.undo().unwrap().unwrap().what, EditKind::Allow);
        assert_eq!(model.undo().unwrap(), Some(done.edit), "{name}");
        assert_eq!(model.undo().unwrap(), None);
        assert_eq!(bytes(&model), before, "{name}");
        assert_eq!(scores(&again(&model, device)), old, "{name}");
    }
}

/// A defect that was in the training data is excused; denied once, it is found in other parts, too, and good
/// parts pass as before.
#[test]
fn what_is_denied_is_found() {
    let _turn = turn();
    let (_, device) = direct();
    let mut images: Vec<OwnedImage> = (0..10).map(|i| part(None, i)).collect();
    images[4] = spoilt(images[4].clone());
    images[9] = images[8].clone();
    // Nothing keeps the defect out, and every patch is in the bank.
    let all = FitOptions { discriminator: Discriminator::None, coreset_ratio: 1.0, ..options() };
    let mut detector = fit_on(device, &images, &all);
    let (before, threshold) = (bytes(detector.model()), detector.info().threshold.unwrap());
    let missed = &images[4];
    let view = missed.as_image().unwrap();
    assert_eq!(score(&detector, missed), 0.0);
    let good: Vec<f32> = (50..54).map(|i| score(&detector, &part(None, i))).collect();

    // What two pictures have takes two rows at least.
    let copied = images[8].as_image().unwrap();
    let error = detector.deny("copied.png", &copied, Some(SPOT), 1e-9).unwrap_err().to_string();
    assert!(error.contains("more than 1 (") && error.contains("fit anew"), "{error}");
    assert_eq!(bytes(detector.model()), before);
    for share in [0.0, 1.0, f64::NAN] {
        assert!(detector.deny("missed.png", &view, Some(SPOT), share).is_err());
    }
    let done = detector.deny("missed.png", &view, Some(SPOT), 0.1).unwrap();
    assert_eq!((done.was_anomalous, done.anomalous), (Some(false), Some(true)), "{done:?}");
    assert_eq!(done.after, score(&detector, missed));
    assert_eq!(done.rows_of[0].0, "parts/004.png", "{:?}", done.rows_of);
    assert_eq!(done.rows_of.iter().map(|(_, rows)| rows).sum::<u32>(), done.edit.removed);
    let other = score(&detector, &spoilt(part(None, 41)));
    assert!(other > threshold, "{other} {threshold} {done:?}");
    let now: Vec<f32> = (50..54).map(|i| score(&detector, &part(None, i))).collect();
    assert!(good.iter().zip(&now).all(|(a, b)| (*a > threshold) == (*b > threshold)), "{good:?} {now:?}");
    let error = detector.deny("missed.png", &view, Some(SPOT), 0.1).unwrap_err().to_string();
    assert!(error.contains("is found as it is"), "{error}");

    assert!(detector.verify().unwrap().ok());
    let mut model = read(&bytes(detector.model())).unwrap();
    model.undo().unwrap().unwrap();
    assert_eq!(bytes(&model), before);

    // Without a threshold nothing says what passes.
    model.info.threshold = None;
    let error = again(&model, device).deny("a", &view, None, DENY_AT_MOST).unwrap_err().to_string();
    assert!(error.contains("no threshold"), "{error}");
}

/// Exactly its rows go, in whatever order edits come and are taken back.
#[test]
fn a_removed_image_takes_its_rows_along() {
    let _turn = turn();
    let (_, device) = direct();
    let whole = fit(device).model().clone();
    let count = |model: &Model, image: u32| model.bank.provenance.iter().filter(|p| p[0] == image).count();
    let mut model = whole.clone();
    let edit = model.remove_image("003.png").unwrap();
    assert_eq!((edit.image.as_str(), edit.removed as usize), ("parts/003.png", count(&whole, 3)));
    assert_eq!((count(&model, 3), model.info.rows), (0, whole.info.rows - edit.removed));
    let mut rows = whole.bank.rows.chunks_exact(whole.info.dim as usize).zip(&whole.bank.provenance);
    let left: Vec<f32> = rows.by_ref().filter(|(_, p)| p[0] != 3).flat_map(|(row, _)| row).copied().collect();
    assert_eq!(model.bank.rows, left);
    for (name, says) in [
        ("parts/003.png", "there is nothing to remove"),
        ("03.png", "the nearest names are parts/003.png"),
        ("", "none of the model's 10 images"),
    ] {
        let error = model.remove_image(name).unwrap_err().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
    model.remove_image("parts/000.png").unwrap();
    model.remove_image("parts/009.png").unwrap();
    // The index that is left is one, and gives the scores of one that is made anew.
    let (query, mut bare) = (part(Some(Defect::Scratch), 60), read(&bytes(&model)).unwrap());
    let edited = score(&again(&bare, device), &query);
    bare.bank.index = None;
    assert_eq!(score(&again(&bare, device), &query), edited);
    let names: Vec<String> = model.info.history.iter().map(|e| e.image.clone()).collect();
    assert_eq!(names, ["parts/003.png", "parts/000.png", "parts/009.png"]);
    let mut loaded = read(&bytes(&model)).unwrap();
    while loaded.undo().unwrap().is_some() {}
    assert_eq!(bytes(&loaded), bytes(&whole));

    // References of the edited model do not outlive the edit.
    let mut detector = again(&model, device);
    detector.keep_references(&MemorySource(&[part(None, 1)])).unwrap();
    let found = detector.verify().unwrap();
    assert!(found.ok() && found.edits == 0, "{found:?}");
    let mut model = detector.model().clone();
    model.undo().unwrap();
    assert_eq!(model.references, None);

    // A record that fits nothing is refused, and changes nothing.
    let mut damaged = whole.clone();
    damaged.remove_image("parts/003.png").unwrap();
    damaged.removed.at[0][0] = u32::MAX;
    let before = damaged.clone();
    assert!(matches!(damaged.undo(), Err(Error::Model { .. })));
    assert_eq!(damaged, before);
    // One whose sums are wrong does not load.
    damaged.info.history[0].removed += 1;
    assert!(read(&bytes(&damaged)).is_err());
    let mut last = whole.clone();
    let names = last.info.images.clone();
    let left = names.iter().map(|name| last.remove_image(name)).filter(Result::is_err).count();
    assert!(left >= 1 && last.info.rows > 0);
}
