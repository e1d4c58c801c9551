//! The benchmark harness on a tiny procedural set.

use crate::common::{direct, turn};
use softpatch::data::synth::{Material, SynthOptions, generate};
use softpatch::data::{
    Dataset, DecodeOptions, ImageSource, NoiseProtocol, OwnedImage, Split, SplitSource, TrainEntry,
    decode_file,
};
use softpatch::detector::{
    Backbone, Compat, Detector, Discriminator, FitOptions, Framing, Progress, Quiet, Want,
};
use softpatch::eval::bench::{Bench, BenchOptions, Cell, Method, Summary};
use softpatch::eval::{Item, Map, MetricSize, Seen, evaluate, load_mask};
use softpatch::low_level::backbone::{Extractor, Feed};
use softpatch::low_level::gpu::Device;
use softpatch::low_level::reference;
use softpatch::{Error, Result};
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

const LOF: Method = Method::SoftPatch { discriminator: Discriminator::Lof, soft: true };

fn set(folder: &Path, materials: Vec<Material>) -> Dataset {
    let options = SynthOptions {
        materials,
        train: 12,
        test_good: 4,
        test_per_defect: 2,
        size: 96,
        seed: 3,
        contamination: 0.0,
    };
    generate(folder, &options, &|_, _| {}).unwrap();
    Dataset::open(folder).unwrap()
}

fn options(methods: &[Method], noise: &[f64]) -> BenchOptions {
    BenchOptions {
        methods: methods.to_vec(),
        noise: noise.to_vec(),
        protocols: vec![NoiseProtocol::Overlap],
        seeds: 1,
        fit: FitOptions { coreset_ratio: 0.2, batch: 4, ..FitOptions::paper(64, 64) },
        ..BenchOptions::default()
    }
}

struct Counting<'a> {
    inner: SplitSource,
    loads: &'a AtomicUsize,
}

impl ImageSource for Counting<'_> {
    fn len(&self) -> usize {
        self.inner.len()
    }
    fn name(&self, index: usize) -> String {
        self.inner.name(index)
    }
    fn size(&self, index: usize) -> Result<[u32; 2]> {
        self.inner.size(index)
    }
    fn load(&self, index: usize) -> Result<Cow<'_, OwnedImage>> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.inner.load(index)
    }
}

/// Stops after that many cells.
struct Stopping<'a>(&'a AtomicUsize, usize);

impl Progress for Stopping<'_> {
    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= self.1
    }
}

fn mask_of(mask: &Path, image: &Path) -> Vec<bool> {
    load_mask(mask, image, &DecodeOptions::default(), Framing::middle(64, 64), MetricSize::Frame)
        .unwrap()
        .pixels
}

fn run(set: &Dataset, out: &Path, options: &BenchOptions) -> Summary {
    let bench = Bench {
        device: &direct().1,
        backbone: &Backbone::embedded().unwrap(),
        categories: &set.categories,
        out,
        options,
    };
    let summary = bench.run(&Quiet, |_, _| {}).unwrap();
    summary.write(out, "test").unwrap();
    summary
}

fn results(out: &Path) -> Vec<Vec<u8>> {
    ["results.csv", "results.json", "table.md", "report.html"]
        .map(|name| fs::read(out.join(name)).unwrap())
        .to_vec()
}

#[test]
fn features_are_extracted_once_and_an_interrupted_run_goes_on() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let set = set(&folder.path().join("set"), vec![Material::Fabric, Material::Metal]);
    let mut options = options(&[Method::PatchCore, LOF], &[0.0, 0.1]);
    options.protocols = vec![NoiseProtocol::Overlap, NoiseProtocol::AugmentedOverlap];
    options.seeds = 2;
    let whole = folder.path().join("whole");
    let backbone = Backbone::embedded().unwrap();
    let (loads, cells) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let open = |entries: &[TrainEntry]| -> Box<dyn ImageSource + '_> {
        let split = Split { train: entries.to_vec(), test: Vec::new() };
        Box::new(Counting { inner: SplitSource::new(&split, DecodeOptions::default()), loads: &loads })
    };
    let device = &direct().1;
    let categories = &set.categories;
    let bench = |out| Bench { device, backbone: &backbone, categories, out, options: &options };
    let count = |_: &Cell, computed: bool| {
        cells.fetch_add(usize::from(computed), Ordering::Relaxed);
    };
    // What lies where features are kept and is not a run's stays.
    fs::create_dir_all(whole.join("features")).unwrap();
    fs::write(whole.join("features/vectors.f32"), "a user's").unwrap();
    let summary = bench(&whole).run_from(&open, &Quiet, count).unwrap();
    summary.write(&whole, "test").unwrap();
    assert_eq!(fs::read(whole.join("features/vectors.f32")).unwrap(), b"a user's");
    fs::remove_dir_all(whole.join("features")).unwrap();
    // Noise of two seeds, moved: one copy each at most beside the images themselves.
    let images: usize = categories.iter().map(|c| c.train.len() + c.test.items.len()).sum();
    let loaded = loads.swap(0, Ordering::Relaxed);
    assert_eq!(summary.images, loaded);
    assert_eq!(loaded, images + 2 * 2, "one noise image a seed and category is moved");
    assert_eq!(summary.cells.len(), 2 * 3 * 2 * 2);
    assert_eq!((summary.computed, cells.swap(0, Ordering::Relaxed)), (24, 24));

    // The same in three goes.
    let parts = folder.path().join("parts");
    let stopped = bench(&parts).run_from(&open, &Stopping(&cells, 5), count);
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    assert_eq!(fs::read_dir(parts.join("cells")).unwrap().filter(is_json).count(), 5);
    let stopped = bench(&parts).run_from(&open, &Stopping(&cells, 13), count);
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    let summary = bench(&parts).run_from(&open, &Quiet, count).unwrap();
    summary.write(&parts, "test").unwrap();
    assert_eq!(cells.swap(0, Ordering::Relaxed), 24);
    assert_eq!(summary.computed, 24 - 13);
    assert!(results(&whole) == results(&parts), "results depend on the interruption");

    // All is there: nothing is loaded, nothing computed, nothing changed.
    loads.store(0, Ordering::Relaxed);
    let again = bench(&parts).run_from(&open, &Quiet, count).unwrap();
    assert_eq!((again.computed, again.images, loads.load(Ordering::Relaxed)), (0, 0, 0));
    again.write(&parts, "test").unwrap();
    assert!(results(&whole) == results(&parts));

    // Lists that a run wrote give the same cells.
    let lists = BenchOptions { splits: Some(parts.join("splits")), ..options.clone() };
    let reread = Bench { options: &lists, ..bench(&parts) }.run_from(&open, &Quiet, count).unwrap();
    assert_eq!((reread.computed, loads.load(Ordering::Relaxed)), (0, 0));
    well_formed(&whole, &summary);
}

fn is_json(entry: &std::io::Result<fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "json")
}

fn well_formed(out: &Path, summary: &Summary) {
    let csv = fs::read_to_string(out.join("results.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + summary.cells.len());
    assert!(lines[0].starts_with("category,method,noise,protocol,seed,"), "{}", lines[0]);
    let columns = lines[0].split(',').count();
    for line in &lines[1..] {
        assert_eq!(line.split(',').count(), columns, "{line}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("results.json")).unwrap()).unwrap();
    assert_eq!(json["cells"].as_array().unwrap().len(), summary.cells.len());
    // Three conditions, two methods, two categories and their mean.
    assert_eq!(json["means"].as_array().unwrap().len(), 3 * 2 * 3);
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    assert!(table.contains("### image AUROC, noise 0.1 augmented-overlap"), "{table}");
    assert!(
        table.contains("| category | patchcore | softpatch-lof |\n|---|---:|---:|\n| fabric | "),
        "{table}"
    );
    assert!(table.contains("| **mean** | ") && table.contains(" ± "), "{table}");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("data:image/png;base64,"));
    assert!(!page.contains("<script") && !page.contains("http:"));
    // One list a category, condition and seed.
    assert_eq!(fs::read_dir(out.join("splits")).unwrap().count(), 2 * 3 * 2);
}

#[test]
fn cells_are_of_the_files_that_are_there() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (set, out) = (set(&folder.path().join("set"), vec![Material::Metal]), folder.path().join("out"));
    let computed = || run(&set, &out, &options(&[Method::PatchCore], &[0.0])).computed;
    assert_eq!((computed(), computed()), (1, 0));
    let test = &set.categories[0].test.items;
    let masks: Vec<&PathBuf> = test.iter().filter_map(|item| item.mask.as_ref()).collect();
    for (file, other) in [(&set.categories[0].train[0], &test[0].path), (masks[0], masks[1])] {
        let before = fs::read(file).unwrap();
        fs::write(file, &before).unwrap();
        assert_eq!(computed(), 0, "another time, the same file");
        fs::copy(other, file).unwrap();
        assert_eq!((computed(), computed()), (1, 0), "{}", file.display());
        fs::write(file, before).unwrap();
    }
    assert_eq!(computed(), 0, "all is as it was");
}

#[test]
fn cells_equal_a_detector_on_the_same_split() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let set = set(&folder.path().join("set"), vec![Material::Gear]);
    let hard = Method::SoftPatch { discriminator: Discriminator::Gaussian, soft: false };
    let mut options = options(&[Method::PatchCore, LOF, hard], &[0.1]);
    for compat in [Compat::None, Compat::Official] {
        options.fit.compat = compat;
        compare(&set, &folder.path().join(compat.to_string()), &options);
    }
}

fn compare(set: &Dataset, out: &Path, options: &BenchOptions) {
    let summary = run(set, out, options);
    let split = Split::read_csv(out.join("splits/gear_noise0.1_overlap_seed0.csv")).unwrap();
    assert_eq!(split.train.iter().filter(|e| e.is_noise).count(), 1);
    let device = &direct().1;
    let backbone = Backbone::embedded().unwrap();
    for (cell, (discriminator, soft_weights)) in summary.cells.iter().zip([
        (Discriminator::None, true),
        (Discriminator::Lof, true),
        (Discriminator::Gaussian, false),
    ]) {
        let fit = FitOptions { discriminator, soft_weights, ..options.fit.clone() };
        let train = SplitSource::new(&split, DecodeOptions::default());
        let detector = Detector::fit(device, &backbone, &train, &fit, &Quiet).unwrap();
        let entries =
            split.test.iter().map(|i| TrainEntry { path: i.path.clone(), augment: None, is_noise: false });
        let test = Split { train: entries.collect(), test: Vec::new() };
        let mut scores = Vec::new();
        let source = SplitSource::new(&test, DecodeOptions::default());
        detector
            .score_source(&source, Want::Maps, &Quiet, |_, score| {
                scores.push(score);
                Ok(())
            })
            .unwrap();
        let masks: Vec<Option<Vec<bool>>> =
            split.test.iter().map(|i| i.mask.as_ref().map(|m| mask_of(m, &i.path))).collect();
        let items: Vec<Item<'_>> = (split.test.iter().zip(&scores).zip(&masks))
            .map(|((item, score), mask)| Item {
                score: score.score,
                is_defect: item.is_defect(),
                map: Some(Map { width: 64, scores: &score.map, mask: mask.as_deref(), counted: None }),
                seen: Seen::Wholly,
            })
            .collect();
        let direct = evaluate(&items).unwrap();
        let name = &cell.settings.method;
        let scored: Vec<f32> = scores.iter().map(|s| s.score).collect();
        let cells: Vec<f32> = cell.images.iter().map(|i| i.score).collect();
        crate::common::assert_close(name, &cells, &scored, 0.0, 1e-6);
        for (a, b) in [
            (cell.report.image_auroc, direct.image_auroc),
            (cell.report.pixel_auroc, direct.pixel_auroc),
            (cell.report.aupro, direct.aupro),
        ] {
            assert!((a.unwrap() - b.unwrap()).abs() < 1e-9, "{name}: {a:?} {b:?}");
        }
    }
}

#[test]
fn too_few_defects_are_said() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut set = set(&folder.path().join("set"), vec![Material::Metal]);
    let items = &mut set.categories[0].test.items;
    let mut defects = 0;
    items.retain(|i| {
        defects += usize::from(i.is_defect());
        !i.is_defect() || defects <= 1
    });
    let mut options = options(&[Method::PatchCore], &[0.0, 0.2]);
    options.protocols = vec![NoiseProtocol::NoOverlap, NoiseProtocol::Overlap];
    let summary = run(&set, &folder.path().join("out"), &options);
    assert_eq!(summary.cells.len(), 2, "clean and overlap");
    let said = |words: &str| assert!(summary.notes.iter().any(|n| n.contains(words)), "{:?}", summary.notes);
    said("no-overlap: left out");
    said("put in again after a small random affine move");
    assert!(summary.markdown().contains("left out"));
}

#[test]
fn every_method_runs_within_a_small_budget() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let set = set(&folder.path().join("set"), vec![Material::Fabric]);
    let mut options = options(&Method::ALL, &[0.1]);
    let roomy = run(&set, &folder.path().join("roomy"), &options);
    // 13 images of 64 patches are 0.4 MB of projected patches: with the lists and tables they do not fit, and
    // wait in files.
    options.fit.memory = 720_000;
    let tight = run(&set, &folder.path().join("tight"), &options);
    assert_eq!(roomy.cells.len(), Method::ALL.len());
    for (a, b) in roomy.cells.iter().zip(&tight.cells) {
        assert_eq!(a.images, b.images, "{}", a.settings.method);
        assert_eq!(a.report, b.report);
        assert!(a.images.iter().all(|i| i.score.is_finite()));
        assert!(a.report.image_auroc.unwrap() > 0.5, "{}: {:?}", a.settings.method, a.report);
    }
}

/// Embeddings of images, `[images][positions][dim]`, and positions and dim.
fn embeddings(device: &Device, paths: &[&Path], fit: &FitOptions) -> (Vec<f32>, usize, usize) {
    let backbone = Backbone::embedded().unwrap();
    let mut extractor = Extractor::new(device, backbone.network, &backbone.weights, fit.crop, 1).unwrap();
    let mut feed = Feed::new(device, extractor.network(), Framing::middle(fit.resize, fit.crop)).unwrap();
    let mut all = Vec::new();
    for path in paths {
        let image = decode_file(path, &DecodeOptions::default()).unwrap();
        let input = extractor.input().clone();
        feed.push(&[image.as_image().unwrap()], &input, 0, &(0..fit.crop)).unwrap();
        feed.submit(&[extractor.plan(1, 0).unwrap()]).unwrap();
        all.extend(device.read::<f32>(extractor.embedding()).unwrap());
    }
    let [h, w] = extractor.grid();
    (all, (h * w) as usize, extractor.dim() as usize)
}

#[test]
fn spade_and_padim_equal_their_references() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let set = set(&folder.path().join("set"), vec![Material::Print]);
    let options = options(&[Method::Spade, Method::Padim], &[0.0]);
    let summary = run(&set, &folder.path().join("out"), &options);
    let device = &direct().1;
    let category = &set.categories[0];
    let paths = |p: &[PathBuf]| p.to_vec();
    let train = paths(&category.train);
    let train: Vec<&Path> = train.iter().map(PathBuf::as_path).collect();
    let test: Vec<&Path> = category.test.items.iter().map(|i| i.path.as_path()).collect();
    let (train, positions, dim) = embeddings(device, &train, &options.fit);
    let (test, _, _) = embeddings(device, &test, &options.fit);
    let side = (positions as f64).sqrt() as usize;
    let channels = softpatch::low_level::steps::patches::projection::random_channels(dim, 100, 0);
    assert!(channels.len() == 100 && channels.windows(2).all(|w| w[0] < w[1]));
    let (mut spade, mut padim) = (Vec::new(), Vec::new());
    let map = |patches: &[f32]| reference::map::anomaly_map::anomaly_map(patches, [side, side], [64, 64]);
    let mut spade_maps: Vec<Vec<f32>> = Vec::new();
    for image in test.chunks_exact(positions * dim) {
        let (score, patches) = reference::methods::spade::spade(&train, image, positions, dim, 50);
        spade.push(score);
        spade_maps.push(map(&patches));
        let patches = reference::methods::padim::padim(&train, image, positions, dim, &channels);
        padim.push(map(&patches).into_iter().fold(0.0, f32::max));
    }
    let scores = |cell: &Cell| cell.images.iter().map(|i| i.score).collect::<Vec<_>>();
    crate::common::assert_close("spade", &scores(&summary.cells[0]), &spade, 0.0, 1e-4);
    crate::common::assert_close("padim", &scores(&summary.cells[1]), &padim, 0.0, 1e-3);
    // SPADE's map has a score of its own: its pixel figures must be those of the reference.
    let masks: Vec<Option<Vec<bool>>> =
        category.test.items.iter().map(|i| i.mask.as_ref().map(|m| mask_of(m, &i.path))).collect();
    let items: Vec<Item<'_>> = (category.test.items.iter().zip(&spade_maps).zip(&masks))
        .map(|((item, scores), mask)| Item {
            score: 0.0,
            is_defect: item.is_defect(),
            map: Some(Map { width: 64, scores, mask: mask.as_deref(), counted: None }),
            seen: Seen::Wholly,
        })
        .collect();
    let (want, got) = (evaluate(&items).unwrap(), &summary.cells[0].report);
    assert!((want.pixel_auroc.unwrap() - got.pixel_auroc.unwrap()).abs() < 1e-4, "{want:?} {got:?}");
}

#[test]
fn names_of_methods() {
    for method in Method::ALL {
        assert_eq!(method.name().parse::<Method>().unwrap(), method);
    }
    assert_eq!("none".parse::<Method>().unwrap(), Method::PatchCore);
    let message = "lof".parse::<Method>().unwrap_err().to_string();
    assert!(message.contains("softpatch-lof"), "{message}");
}
