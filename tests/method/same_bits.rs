//! Models, picks, scores and maps are the same in every bit as when they were recorded: what a change of the
//! code's order must not change. Bits differ from driver to driver, so digests are kept per adapter.

use crate::common::{tiled, turn};
use sha2::{Digest, Sha256};
use softpatch::data::synth::{Defect, Material, SynthOptions, generate, render};
use softpatch::data::{Dataset, MemorySource, OwnedImage};
use softpatch::detector::{Backbone, Compat, Detector, Discriminator, FitOptions, Precision, Quiet, Want};
use softpatch::eval::bench::{Bench, BenchOptions, Method};
use softpatch::low_level::gpu::{Device, DeviceOptions};
use softpatch::methods::{fit_embeddings, score_embeddings};
use std::collections::BTreeMap;
use std::path::Path;

/// Digests by what they are of.
type Bits = BTreeMap<String, String>;

/// What is written down, by adapter and driver.
fn recorded() -> (std::path::PathBuf, BTreeMap<String, Bits>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/same_bits.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
    (path, serde_json::from_str(&text).unwrap())
}

/// Feeds words into a digest.
struct Sum(Sha256);

impl Sum {
    fn new() -> Self {
        Self(Sha256::new())
    }
    fn add<T: bytemuck::Pod>(mut self, values: &[T]) -> Self {
        self.0.update((values.len() as u64).to_le_bytes());
        self.0.update(bytemuck::cast_slice::<T, u8>(values));
        self
    }
    fn end(self) -> String {
        format!("{:x}", self.0.finalize())[..16].to_owned()
    }
}

fn of_detector(bits: &mut Bits, name: &str, detector: &Detector, queries: &[OwnedImage]) {
    let model = detector.model();
    let weights = Sum::new().add(&model.bank.weights).add(&[model.info.noise_threshold.unwrap_or(-1.0)]);
    bits.insert(format!("{name}: bank"), Sum::new().add(&model.bank.rows).end());
    bits.insert(format!("{name}: picks"), Sum::new().add(model.bank.provenance.as_flattened()).end());
    bits.insert(format!("{name}: weights"), weights.add(&[model.info.kept]).end());
    let threshold = model.info.threshold.unwrap_or(-1.0);
    bits.insert(format!("{name}: threshold"), Sum::new().add(&model.train_scores).add(&[threshold]).end());
    let views: Vec<_> = queries.iter().map(|i| i.as_image().unwrap()).collect();
    let (mut scores, mut maps) = (Sum::new(), Sum::new());
    for score in detector.score(&views).unwrap() {
        scores = scores.add(&[score.score]).add(&score.patches);
        maps = maps.add(&score.map);
    }
    bits.insert(format!("{name}: scores"), scores.end());
    bits.insert(format!("{name}: maps"), maps.end());
}

fn models(bits: &mut Bits, family: &str, device: &Device, all: bool) {
    let backbone = Backbone::embedded().unwrap();
    let images: Vec<_> = (0..12).map(|i| render(Material::Gear, None, i, 112).unwrap().0).collect();
    let queries = [None, Some(Defect::Stain), Some(Defect::Scratch)]
        .map(|d| render(Material::Gear, d, 77, 112).unwrap().0);
    let base = FitOptions { coreset_ratio: 0.2, batch: 5, ..FitOptions::paper(104, 96) };
    let by = |discriminator| FitOptions { discriminator, ..base.clone() };
    let mut fits = vec![("lof", by(Discriminator::Lof))];
    if all {
        fits.extend([
            ("nearest", by(Discriminator::Nearest)),
            ("gaussian", by(Discriminator::Gaussian)),
            ("none", by(Discriminator::None)),
            ("official", FitOptions { compat: Compat::Official, ..base.clone() }),
            ("f16", FitOptions { precision: Precision::F16, ..base.clone() }),
            ("spooled", FitOptions { memory: 2 << 20, coreset_ratio: 0.05, ..base.clone() }),
        ]);
    }
    for (name, options) in fits {
        let detector = Detector::fit(device, &backbone, &MemorySource(&images), &options, &Quiet).unwrap();
        of_detector(bits, &format!("{family} {name}"), &detector, &queries);
    }
}

fn embeddings(bits: &mut Bits, device: &Device) {
    let (grid, dim, images) = ([5, 6], 32_u32, 9);
    let values = crate::common::noise(5, images * 30 * dim as usize, 0.0, 1.0);
    let options = FitOptions { coreset_ratio: 0.3, projection: 16, ..FitOptions::paper(256, 224) };
    let fitted = fit_embeddings(device, &values, grid, dim, &options, &Quiet).unwrap();
    let sum = Sum::new().add(&fitted.outlier).add(&fitted.kept).add(&fitted.model.bank.rows);
    bits.insert("embeddings: fit".into(), sum.end());
    let mut sum = Sum::new();
    let load = |i: usize, out: &mut [f32]| {
        let image = out.len();
        out.copy_from_slice(&values[i * image..][..image]);
        Ok(())
    };
    score_embeddings(device, &fitted.model, images, Want::Maps, load, |score| {
        sum = std::mem::replace(&mut sum, Sum::new()).add(&[score.score]).add(&score.map);
        Ok(())
    })
    .unwrap();
    bits.insert("embeddings: scores".into(), sum.end());
}

fn bench(bits: &mut Bits, device: &Device) {
    let folder = tempfile::tempdir().unwrap();
    let set = SynthOptions {
        materials: vec![Material::Fabric],
        train: 12,
        test_good: 4,
        test_per_defect: 2,
        size: 96,
        seed: 3,
        contamination: 0.0,
    };
    generate(&folder.path().join("set"), &set, &|_, _| {}).unwrap();
    let set = Dataset::open(folder.path().join("set")).unwrap();
    let options = BenchOptions {
        methods: Method::ALL.to_vec(),
        noise: vec![0.0, 0.1],
        seeds: 1,
        fit: FitOptions { coreset_ratio: 0.2, batch: 4, ..FitOptions::paper(64, 64) },
        ..BenchOptions::default()
    };
    let bench = Bench {
        device,
        backbone: &Backbone::embedded().unwrap(),
        categories: &set.categories,
        out: &folder.path().join("out"),
        options: &options,
    };
    for cell in bench.run(&Quiet, |_, _| {}).unwrap().cells {
        let name = format!("bench {} {}", cell.settings.method, cell.settings.noise);
        let scores: Vec<f32> = cell.images.iter().map(|i| i.score).collect();
        // Bits were recorded before these were told.
        let figures = serde_json::to_string(&cell.report).unwrap();
        let figures = figures.replace(r#""outside":0,"partly_outside":0,"#, "");
        bits.insert(name, Sum::new().add(&scores).add(figures.as_bytes()).end());
    }
}

/// With `SOFTPATCH_WRITE_BITS=1` it records the bits of this adapter instead.
#[test]
fn bits_are_as_recorded() {
    let _turn = turn();
    // Not one of the matrix: what the adapter is by default.
    let device = Device::open(&DeviceOptions { unchecked: Some(true), ..DeviceOptions::default() }).unwrap();
    let caps = device.caps();
    let adapter = format!("{} | {} | {}", caps.adapter, caps.driver, std::env::consts::ARCH);
    let (path, mut known) = recorded();
    let write = std::env::var_os("SOFTPATCH_WRITE_BITS").is_some();
    if !write && !known.contains_key(&adapter) {
        println!("skipped: no bits are recorded of {adapter}; SOFTPATCH_WRITE_BITS=1 records them");
        return;
    }
    let mut bits = Bits::new();
    models(&mut bits, "default", &device, true);
    models(&mut bits, "tiled", &tiled().1, false);
    embeddings(&mut bits, &device);
    bench(&mut bits, &device);
    if write {
        known.insert(adapter, bits);
        std::fs::write(path, serde_json::to_string_pretty(&known).unwrap() + "\n").unwrap();
        return;
    }
    let differ: Vec<_> = bits.iter().filter(|(name, sum)| known[&adapter].get(*name) != Some(sum)).collect();
    assert!(differ.is_empty() && bits.len() == known[&adapter].len(), "{adapter}: {differ:#?}");
}
