//! The same images and the same model have the same scores on every adapter that can execute, in processes of
//! their own: the adapter as it is, with narrower and wider SIMD registers (so subgroups of other sizes)
//! where it is llvmpipe, without what other adapters lack, and on other drivers that are installed.

use crate::common::{in_pairs, turn};
use crate::root;
use softpatch::data::synth::{Material, SynthOptions, generate};
use softpatch::detector::Model;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// How far a score may be from another adapter's, relative: the project's promise.
const AGREE: f64 = 1e-3;

/// Small enough that compiling the kernels is what takes the time.
const TINY: [&str; 8] = ["--geometry", "paper", "--resize", "64", "--crop", "64", "--batch", "4"];

/// An adapter to run on, as the environment says it.
struct Adapter {
    name: String,
    env: Vec<(&'static str, String)>,
}

impl Adapter {
    fn new(name: &str, env: &[(&'static str, &str)]) -> Self {
        Self { name: name.into(), env: env.iter().map(|(key, value)| (*key, (*value).into())).collect() }
    }

    fn run(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_softpatch"))
            .env_remove("SOFTPATCH_LOG")
            .env_remove("SOFTPATCH_DISABLE")
            .env("SOFTPATCH_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}, {args:?}: {:?}\n{said}", self.name, output.status);
        String::from_utf8(output.stdout).expect("output is UTF-8")
    }

    /// What the program says of the adapter that it uses, `None` where there is none.
    fn describe(&self) -> Option<serde_json::Value> {
        let list: serde_json::Value = serde_json::from_str(&self.run(&["devices", "--json"])).unwrap();
        let first = list.get(0)?.clone();
        let caps = &first["caps"];
        let choices = ["archetype", "subgroup", "int64", "texels", "f16"]
            .map(|c| format!("{c} {}", caps[c]))
            .join(", ");
        println!("{}: {}, {choices}", self.name, first["driver"]);
        Some(first)
    }

    fn fit(&self, images: &Path, model: &Path, more: &[&str]) {
        let args = ["fit", arg(images), "-o", arg(model), "--quiet"];
        self.run(&[&args[..], more].concat());
    }

    fn score(&self, model: &Path, images: &[PathBuf], more: &[&str]) -> Scores {
        let images: Vec<&str> = images.iter().map(|i| arg(i)).collect();
        let args = ["score", arg(model), "--json", "--quiet"];
        let document = self.run(&[&args[..], more, &images].concat());
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        let rows = document["images"].as_array().unwrap();
        assert_eq!(rows.len(), images.len());
        Scores {
            threshold: document["threshold"].as_f64().unwrap(),
            scores: rows.iter().map(|r| r["score"].as_f64().unwrap()).collect(),
            anomalous: rows.iter().map(|r| r["anomalous"].as_bool().unwrap()).collect(),
        }
    }
}

fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Scores {
    threshold: f64,
    scores: Vec<f64>,
    anomalous: Vec<bool>,
}

impl Scores {
    /// Largest relative difference of a score.
    fn difference(&self, other: &Self) -> f64 {
        let pairs = self.scores.iter().zip(&other.scores);
        pairs.map(|(a, b)| (a - b).abs() / a.max(*b)).fold(0.0, f64::max)
    }

    /// Scores agree, and so do verdicts but on the very threshold.
    fn assert_agree(&self, other: &Self, what: &str) {
        let difference = self.difference(other);
        println!("{what}: {} images, largest difference {difference:.1e}", self.scores.len());
        assert!(difference <= AGREE, "{what}: {:?} and {:?}", self.scores, other.scores);
        assert_eq!(self.threshold, other.threshold, "{what}");
        for (i, score) in self.scores.iter().enumerate() {
            let decided = (score - self.threshold).abs() > AGREE * self.threshold;
            assert!(!decided || self.anomalous[i] == other.anomalous[i], "{what}: image {i}, {score}");
        }
    }
}

/// Manifests of other Vulkan drivers: those of $SOFTPATCH_TEST_DRIVERS, and SwiftShader where browsers bring
/// it along.
pub fn drivers() -> Vec<PathBuf> {
    let named = std::env::var_os("SOFTPATCH_TEST_DRIVERS");
    let mut found: Vec<PathBuf> = named.iter().flat_map(std::env::split_paths).collect();
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut usual: Vec<PathBuf> = folders.map(|f| f.path().join("vk_swiftshader_icd.json")).collect();
    usual.retain(|path| path.is_file());
    usual.sort();
    found.extend(usual);
    if found.is_empty() {
        println!("skipped: no SwiftShader in /usr/lib/*, no other driver in SOFTPATCH_TEST_DRIVERS");
    }
    found
}

/// The adapter as it is comes first.
fn adapters() -> Vec<Adapter> {
    let mut all = vec![Adapter::new("as it is", &[])];
    let first = all[0].describe().expect("an adapter");
    if first["driver"].to_string().to_lowercase().contains("llvmpipe") {
        for (bits, lanes) in [("128", 4), ("512", 16)] {
            let other = Adapter::new(&format!("subgroups of {lanes}"), &[("LP_NATIVE_VECTOR_WIDTH", bits)]);
            let caps = &other.describe().unwrap()["caps"];
            assert_eq!(caps["subgroup"], serde_json::json!([lanes, lanes]));
            all.push(other);
        }
    } else {
        println!("skipped: other sizes of subgroups, the driver is not llvmpipe");
    }
    for list in ["subgroup", "int64", "texels", "subgroup,int64,texels,f16,coop"] {
        let other = Adapter::new(&format!("without {list}"), &[("SOFTPATCH_DISABLE", list)]);
        let caps = &other.describe().unwrap()["caps"];
        let off = |value: &serde_json::Value| value.is_null() || *value == false || *value == 0;
        assert!(list.split(',').all(|feature| off(&caps[feature])), "{list}: {caps}");
        all.push(other);
    }
    for manifest in drivers() {
        // The older name goes where a loader knows no other.
        let path = arg(&manifest);
        let other = Adapter::new(path, &[("VK_DRIVER_FILES", path), ("VK_ICD_FILENAMES", path)]);
        match other.describe() {
            Some(_) => all.push(other),
            None => println!("skipped: {path} has no adapter here"),
        }
    }
    all
}

/// Painted parts: training images, and test images of every kind.
fn painted(folder: &Path) -> (PathBuf, Vec<PathBuf>) {
    let options = SynthOptions {
        materials: vec![Material::Metal],
        train: 10,
        test_good: 3,
        test_per_defect: 1,
        size: 80,
        seed: 1,
        contamination: 0.0,
    };
    generate(folder, &options, &|_, _| {}).unwrap();
    let set = folder.join("metal");
    (set.join("train/good"), some_of_each(&set.join("test"), usize::MAX))
}

/// The first `count` images of every folder in `folder`.
fn some_of_each(folder: &Path, count: usize) -> Vec<PathBuf> {
    let sorted = |folder: &Path| {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    sorted(folder).iter().flat_map(|kind| sorted(kind).into_iter().take(count)).collect()
}

/// Every adapter's scores under one model against those of the first.
fn all_agree(adapters: &[Adapter], what: &str, model: &Path, images: &[PathBuf], more: &[&str]) {
    let want = adapters[0].score(model, images, more);
    let both = [true, false].map(|verdict| want.anomalous.contains(&verdict));
    println!("{what}: some anomalous {}, some not {}", both[0], both[1]);
    in_pairs(&adapters[1..], |adapter| {
        want.assert_agree(&adapter.score(model, images, more), &format!("{what}, {}", adapter.name));
    });
}

/// Largest distance of a row of one bank from the other bank, in both directions (Hausdorff), and whether
/// rows are the same.
fn banks_apart(a: &Model, b: &Model) -> (f64, bool) {
    let dim = a.info.dim as usize;
    let to = |x: &Model, y: &Model| -> f64 {
        let nearest = |row: &[f32]| {
            let distance = |other: &[f32]| -> f64 {
                row.iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
            };
            y.bank.rows.chunks_exact(dim).map(distance).fold(f64::INFINITY, f64::min)
        };
        x.bank.rows.chunks_exact(dim).map(nearest).fold(0.0, f64::max).sqrt()
    };
    (to(a, b).max(to(b, a)), a.bank.provenance == b.bank.provenance)
}

#[test]
fn every_adapter_gives_the_same_scores() {
    let _turn = turn();
    let adapters = adapters();
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = painted(&folder.path().join("set"));
    let model = folder.path().join("painted.safetensors");
    adapters[0].fit(&train, &model, &TINY);
    all_agree(&adapters, "painted parts", &model, &test, &[]);

    // A fit on each, without soft weights, so that a score is the squared distance to the bank. Which of two
    // nearly equal rows is picked may differ, and then later picks do; but the distance of any patch to two
    // banks differs by no more than the banks are apart, and by the rounding that is allowed above.
    let path = |i: usize| folder.path().join(format!("{i}.safetensors"));
    let found: Mutex<Vec<Option<Scores>>> = Mutex::new(adapters.iter().map(|_| None).collect());
    let numbered: Vec<(usize, &Adapter)> = adapters.iter().enumerate().collect();
    in_pairs(&numbered, |(i, adapter)| {
        adapter.fit(&train, &path(*i), &[&TINY[..], &["--no-soft-weights"]].concat());
        let scores = adapter.score(&path(*i), &test, &[]);
        found.lock().unwrap()[*i] = Some(scores);
    });
    let found: Vec<Scores> = found.into_inner().unwrap().into_iter().flatten().collect();
    let first = Model::load(&path(0)).unwrap();
    for (i, adapter) in numbered.iter().skip(1) {
        let (apart, same) = banks_apart(&first, &Model::load(&path(*i)).unwrap());
        println!(
            "fit on {}: {} picks, banks are {apart:.1e} apart, scores differ by {:.1e}",
            adapter.name,
            if same { "the same" } else { "other" },
            found[0].difference(&found[*i])
        );
        for (a, b) in found[0].scores.iter().zip(&found[*i].scores) {
            let room = apart + 0.5 * AGREE * a.max(*b).sqrt();
            assert!((a.sqrt() - b.sqrt()).abs() <= room, "fit on {}: {a} and {b}", adapter.name);
        }
    }
}

/// A fit takes a folder, so a few training images are linked into one.
#[cfg(unix)]
#[test]
fn every_adapter_gives_the_same_scores_of_real_images() {
    let _turn = turn();
    let root = root().join("../shared");
    let set = root.join("data/mvtec_ad/bottle");
    if !set.is_dir() {
        println!("skipped: {} is not there", set.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let train = folder.path().join("train");
    std::fs::create_dir(&train).unwrap();
    for image in some_of_each(&set.join("train"), 8) {
        let link = train.join(image.file_name().unwrap());
        std::os::unix::fs::symlink(image.canonicalize().unwrap(), link).unwrap();
    }
    let test = some_of_each(&set.join("test"), 2);
    let weights = root.join("weights/resnet18_to_layer3.safetensors");
    let resnet = ["--backbone", arg(&weights)];
    let adapters = adapters();
    for (name, more) in [("efficientnet_lite0", &[][..]), ("resnet18", &resnet[..])] {
        if !more.is_empty() && !weights.is_file() {
            println!("skipped: {} is not there", weights.display());
            continue;
        }
        let model = folder.path().join(format!("{name}.safetensors"));
        let small = ["--geometry", "paper", "--resize", "128", "--crop", "112"];
        adapters[0].fit(&train, &model, &[&small[..], more].concat());
        all_agree(&adapters, &format!("bottles, {name}"), &model, &test, more);
    }
}
