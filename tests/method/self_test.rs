//! The self-test before a device's first use: nothing that is used is left out, faults are found, what passed
//! is remembered.

use crate::common::{devices, turn};
use softpatch::data::synth::{Defect, Material, render};
use softpatch::data::{Image, MemorySource, OwnedImage, PixelFormat};
use softpatch::detector::{Compat, Embedding, Precision};
use softpatch::low_level::cases::small;
use softpatch::low_level::gpu::{Archetype, Caps, Device, DeviceOptions, Feature, Rewrite};
use softpatch::{Backbone, Detector, Discriminator, Error, FitOptions, Quiet};
use std::collections::BTreeSet;
use std::sync::Arc;

const SIDE: u32 = 96;

fn images() -> Vec<OwnedImage> {
    (0..8).map(|i| render(Material::Gear, None, i, SIDE).unwrap().0).collect()
}

fn options() -> FitOptions {
    FitOptions { coreset_ratio: 0.05, ..FitOptions::paper(SIDE, SIDE) }
}

/// The same choices as `caps` stand for, on a device without a self-test or with faults.
fn like(caps: &Caps, no_self_test: bool, rewrite: Option<Rewrite>) -> Device {
    let mut without = Vec::new();
    without.extend((!caps.int64).then_some(Feature::Int64));
    without.extend((caps.texels == 0).then_some(Feature::Texels));
    without.extend(caps.subgroup.is_none().then_some(Feature::Subgroup));
    without.extend((!caps.f16).then_some(Feature::F16));
    let (archetype, unchecked) = (Some(caps.archetype), Some(caps.unchecked));
    Device::open(&DeviceOptions {
        archetype,
        unchecked,
        without,
        no_self_test,
        rewrite,
        ..Default::default()
    })
    .unwrap()
}

/// Fits and scores one image.
fn use_all(device: &Device, options: &FitOptions) -> softpatch::Result<f32> {
    let training = images();
    let backbone = Backbone::embedded()?;
    let detector = Detector::fit(device, &backbone, &MemorySource(&training), options, &Quiet)?;
    let (frame, _) = render(Material::Gear, Some(Defect::Stain), 99, SIDE)?;
    let image = Image::new(&frame.pixels, frame.width, frame.height, 3 * SIDE as usize, PixelFormat::Rgb8)?;
    Ok(detector.score(&[image])?[0].score)
}

#[test]
fn nothing_that_is_used_is_left_out() {
    let _turn = turn();
    let backbone = Backbone::embedded().unwrap();
    let ways = [
        options(),
        FitOptions { discriminator: Discriminator::Nearest, precision: Precision::F16, ..options() },
        FitOptions { discriminator: Discriminator::Auto, ..options() },
        FitOptions { discriminator: Discriminator::Gaussian, projection: 36, ..options() },
        FitOptions {
            embedding: Embedding::Pooled,
            embedding_dim: 132,
            compat: Compat::Official,
            ..options()
        },
        // So little memory that the coreset works in smaller batches, from files; and longer lists than
        // images.
        FitOptions { memory: 12 << 20, coreset_ratio: 0.5, lof_k: 9, ..options() },
    ];
    for (name, device) in devices() {
        for (i, options) in ways.iter().enumerate() {
            let plain = like(device.caps(), true, None);
            use_all(&plain, options).unwrap();
            let used = plain.built_kernels();
            let mut tried: BTreeSet<String> = BTreeSet::new();
            for entry in Detector::self_test_cases(&plain, &backbone, options, [SIDE; 2], 8).unwrap() {
                tried.extend(entry.make(&plain).unwrap().kernels());
            }
            let missing: Vec<_> = used.iter().filter(|label| !tried.contains(*label)).collect();
            assert!(missing.is_empty(), "{name}, way {i}: used but not tried: {missing:?}");
            // Nor are many pipelines built for the test alone; of the tiles either size may be chosen.
            let others: Vec<_> =
                tried.iter().filter(|label| !used.contains(label) && !label.contains("+BIG")).collect();
            assert!(others.len() <= 2, "{name}, way {i}: built for the test alone: {others:?}");
        }
    }
}

/// The fault that every product without subgroups of 8 once had: the last columns' offset was held back, not
/// the column.
fn old_fault(name: &str, text: &str) -> Option<String> {
    let right = "w_at(min(col0 + 8u * t + i, p.n - 1u) * p.w_row4 + tap_at + k)";
    let wrong = "w_at(min((col0 + 8u * t + i) * p.w_row4 + tap_at, (p.n - 1u) * p.w_row4) + k)";
    (name == "network/gemm_direct" && text.contains(right)).then(|| text.replace(right, wrong))
}

#[test]
fn a_wrong_kernel_stops_a_fit_and_a_score() {
    let _turn = turn();
    let without = vec![Feature::Subgroup];
    let rewrite = Some(Rewrite(Arc::new(old_fault)));
    let archetype = Some(Archetype::Direct);
    let open = |no_self_test, rewrite: Option<Rewrite>, cache| {
        let without = without.clone();
        let options =
            DeviceOptions { archetype, without, no_self_test, rewrite, cache, ..Default::default() };
        Device::open(&options).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let cache = || Some(folder.path().to_owned());
    let error = use_all(&open(false, rewrite.clone(), cache()), &options()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, Error::SelfTest(wrong) if wrong.error > wrong.allowed), "{text}");
    for part in [
        "conv 3x3",
        "gemm_direct+CONV",
        "layers of the backbone",
        "update the driver",
        "nothing was computed",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(text.contains(&open(true, None, None).caps().driver), "{text}");
    // Nothing is remembered of it, and a good device goes on, then remembers.
    // (A GPU's driver may leave its pipelines there.)
    assert!(!folder.path().join("self-test.json").exists());
    use_all(&open(false, None, cache()), &options()).unwrap();
    assert!(folder.path().join("self-test.json").is_file());
    // Without the test the fault goes through: that is what it is there for.
    use_all(&open(true, rewrite.clone(), None), &options()).unwrap();
    // A model that was fitted elsewhere is not scored either.
    let training = images();
    let backbone = Backbone::embedded().unwrap();
    let good = open(false, None, None);
    let model = Detector::fit(&good, &backbone, &MemorySource(&training), &options(), &Quiet).unwrap();
    let bytes = model.model().to_bytes().unwrap();
    let model = softpatch::detector::Model::from_bytes(&bytes, std::path::Path::new("m")).unwrap();
    let refused = Detector::new(&open(false, rewrite, None), &backbone, model).unwrap_err();
    assert!(matches!(refused, Error::SelfTest(_)), "{refused}");
}

#[test]
fn what_passed_is_not_tried_again() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let cache = Some(folder.path().to_owned());
        Device::open(&DeviceOptions { cache, ..DeviceOptions::default() }).unwrap()
    };
    let first = open();
    let score = use_all(&first, &options()).unwrap();
    let text = std::fs::read_to_string(folder.path().join("self-test.json")).unwrap();
    assert!(text.contains(&first.caps().adapter) && text.contains("\"neighbor "), "{text}");
    let second = open();
    assert_eq!(use_all(&second, &options()).unwrap(), score);
    let built = |device: &Device| device.built_kernels().len();
    assert!(built(&second) <= built(&first), "{} {}", built(&second), built(&first));
    assert_eq!(std::fs::read_to_string(folder.path().join("self-test.json")).unwrap(), text);
    // Another discriminator has kernels of its own.
    use_all(&second, &FitOptions { discriminator: Discriminator::Gaussian, ..options() }).unwrap();
    let more = std::fs::read_to_string(folder.path().join("self-test.json")).unwrap();
    assert!(more.contains("\"mahalanobis ") && more.len() > text.len());
}

/// What does nothing leaves zeros: no harm where those are bounds that then spare no work, or spare less. Too
/// large bounds do harm.
const BOUNDS: &[(&str, &str, &str)] = &[
    ("coreset/pairs_direct", "= stored(v);", "= stored(4.0 * v);"),
    ("coreset/pairs_tiled", "out[to + 1u] = sum.y;", "out[to + 1u] = 4.0 * sum.y;"),
    ("search/lift", "sqrt(max(rest - lost, 0.0))", "4.0 * sqrt(max(rest - lost, 0.0))"),
    ("search/boxes_direct", "return dot(e, e);", "return 16.0 * dot(e, e);"),
    ("search/boxes_tiled", "return dot(e, e);", "return 16.0 * dot(e, e);"),
    // A cluster that is not listed keeps no bounds.
    ("coreset/clusters:list", "", ""),
];

/// A shader with a fault: its bounds are too large, or it does nothing.
fn faulty(text: &str, shader: &str) -> Option<String> {
    if let Some((_, right, wrong)) = BOUNDS.iter().find(|(name, ..)| *name == shader) {
        assert!(text.contains(right), "{shader} has no line '{right}'");
        return Some(text.replace(right, wrong));
    }
    let main = text.find(&format!("fn {}(", shader.split(':').nth(1).unwrap_or("main")))?;
    let body = main + text[main..].find(") {\n")? + 4;
    Some(format!("{}    if (true) {{ return; }}\n{}", &text[..body], &text[body..]))
}

/// Every shader with its text made to do nothing is found out by a case that uses it: no check passes
/// whatever it is given.
#[test]
fn a_faulty_kernel_is_found() {
    let _turn = turn();
    let mut passed = Vec::new();
    for archetype in [Archetype::Direct, Archetype::Tiled] {
        let open = |rewrite| {
            let options = DeviceOptions { archetype: Some(archetype), rewrite, ..DeviceOptions::default() };
            Device::open(&options).unwrap()
        };
        let good = open(None);
        // What each shader is used by, the first case of each.
        let mut first: Vec<(String, usize)> = Vec::new();
        for (i, entry) in small(&good).iter().enumerate() {
            for kernel in entry.make(&good).unwrap().kernels() {
                let shader = kernel.split(['+', ' ']).next().unwrap().to_owned();
                if !first.iter().any(|(name, _)| *name == shader) {
                    first.push((shader, i));
                }
            }
        }
        assert!(first.len() > 30, "{first:?}");
        for (shader, i) in first {
            if BOUNDS.iter().any(|(name, right, _)| *name == shader && right.is_empty()) {
                continue;
            }
            let idle = shader.clone();
            let rewrite = move |name: &str, text: &str| if name == idle { faulty(text, name) } else { None };
            let device = open(Some(Rewrite(Arc::new(rewrite))));
            let entry = &small(&device)[i];
            // All shaders that are missing are told, not the first.
            let found = match entry.check(&device) {
                Ok(verdict) => !verdict.passed(),
                // The coreset says that it stands still.
                Err(Error::Device(_)) => true,
                Err(e) => panic!("{archetype} {shader}: {e}"),
            };
            if !found {
                passed.push(format!("{archetype}: {} though {shader} is wrong", entry.id()));
            }
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
}
