//! ResNets against torchvision's activations, recognition of weight files, and fits with pooled embeddings.

use crate::common::{direct, tiled, turn};
use crate::weights::{compare, empty, file, fnv, golden, taps_equal, tensors};
use safetensors::tensor::{Dtype, SafeTensors};
use softpatch::data::{DecodeOptions, TestSet, TrainSet};
use softpatch::detector::{Backbone, Detector, Embedding, FitOptions, Quiet, Want};
use softpatch::eval::auroc;
use softpatch::low_level::backbone::{Patches, WeightFile, architectures, efficientnet_lite, resnet};
use softpatch::low_level::gpu::Device;
use std::path::Path;

/// The tables add up to the tensors of torchvision, efficientnet_lite_pytorch and timm, name by name and
/// shape by shape.
#[test]
fn tables_are_those_of_the_published_packages() {
    let files = ["resnet.safetensors", "timm.safetensors"].map(golden);
    let published = files.each_ref().map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    for network in architectures() {
        let mut list = tensors(&network);
        list.sort();
        let line = |(name, shape): &(String, Vec<usize>)| {
            let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("{name} {}\n", sizes.join(","))
        };
        let text: String = list.iter().map(line).collect();
        let words: Vec<u32> = [list.len() as u32, fnv(&text)].to_vec();
        let key = format!("{}.tensors", network.name);
        let want = published.iter().find_map(|g| g.tensor(&key).ok()).unwrap();
        assert_eq!(bytemuck::cast_slice::<u32, u8>(&words), want.data(), "{}", network.name);
    }
}

#[test]
fn made_up_weights_are_those_of_the_golden_script() {
    for name in ["resnet18", "wide_resnet50_2"] {
        let network = resnet(name).unwrap().with_taps(&["layer1"]).unwrap();
        let weights = WeightFile::made_up(&network).unwrap();
        assert_eq!(weights.hash(), file(&tensors(&network), Dtype::F32).hash(), "{name}");
        weights.check(&network).unwrap();
    }
}

fn parity(name: &str, devices: &[&Device]) {
    let _turn = turn();
    let bytes = golden("resnet.safetensors");
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let layers = ["layer1", "layer2", "layer3"];
    let whole = resnet(name).unwrap().with_taps(&layers).unwrap();
    let weights = file(&tensors(&whole), Dtype::F32);
    // The embedding is of the last two stages, but its network passes the first one too.
    let two = whole.clone().with_taps(&layers[1..]).unwrap();
    for (number, device) in devices.iter().enumerate() {
        for [h, w] in [[224, 224], [250, 198]] {
            for network in [&whole, &two] {
                // The first stage alone is not worth a second pass everywhere.
                if network.taps.len() == 3 && (number > 0 || (h, name) == (250, "wide_resnet50_2")) {
                    continue;
                }
                let began = std::time::Instant::now();
                let patches = Patches::Pooled { dim: 1024 };
                let mut extractor = taps_equal(device, network, &weights, [h, w], patches, &golden);
                let count = network.taps.len();
                println!("{name} {h}x{w}, {count} taps: {:.2} s", began.elapsed().as_secs_f64());
                // 9 billion multiplications are cut in two, 2 billion are not.
                let submissions = extractor.plan(1, 0).unwrap().submissions();
                match (name, h) {
                    ("wide_resnet50_2", 224) => assert_eq!(submissions, 2),
                    ("resnet18", _) => assert_eq!(submissions, 1),
                    _ => {}
                }
                if count == 2 {
                    let [rows, columns] = extractor.grid();
                    assert_eq!(extractor.dim(), 1024);
                    let got: Vec<f32> = device.read(extractor.embedding()).unwrap();
                    compare(&golden, &format!("{name}.{h}x{w}.pooled"), &got, [rows, columns, 1024]);
                }
            }
        }
    }
}

#[test]
fn resnet18_equals_torchvision() {
    parity("resnet18", &[&direct().1, &tiled().1]);
}

#[test]
fn resnet50_equals_torchvision() {
    parity("resnet50", &[&direct().1]);
}

#[test]
fn wide_resnet50_equals_torchvision() {
    parity("wide_resnet50_2", &[&direct().1]);
}

#[test]
fn architectures_are_told_by_names_and_shapes() {
    let head = [
        ("fc.weight".to_owned(), vec![10, 4]),
        ("fc.bias".into(), vec![10]),
        ("bn1.num_batches_tracked".into(), vec![1]),
    ];
    for network in architectures() {
        if network.name == "efficientnet_lite0.ra_in1k" {
            // Told by its name alone; see tests/method/timm.rs.
            continue;
        }
        let taps: Vec<String> = network.taps.iter().map(|t| t.name.clone()).collect();
        let whole = tensors(&network);
        let found = empty(&[&whole[..], &head[..]].concat()).recognise().unwrap();
        assert_eq!(found.name, network.name);
        assert_eq!(found.taps, network.taps);
        // Cut off after the last layer of the default embedding.
        let layers = softpatch::low_level::backbone::default_layers(&network);
        assert!(layers.iter().all(|l| taps.contains(l)), "{layers:?}");
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        let cut = tensors(&network.clone().with_taps(&layers).unwrap());
        assert!(cut.len() < whole.len());
        let backbone = Backbone::from_weights(empty(&cut), None, None).unwrap();
        assert_eq!(backbone.network.name, network.name);
        let tapped: Vec<&str> = backbone.network.taps.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(tapped, layers);
    }
}

#[test]
fn a_wrong_file_is_told_what_it_lacks() {
    let open = |list: &[(String, Vec<usize>)], arch: Option<&str>, layers: Option<&[&str]>| {
        Backbone::from_weights(empty(list), arch, layers).unwrap_err().to_string()
    };
    let to = |name: &str, layers: &[&str]| tensors(&resnet(name).unwrap().with_taps(layers).unwrap());
    let cut = to("resnet18", &["layer2"]);
    let message = open(&cut, None, None);
    assert!(message.contains("resnet18 up to layer3: layer3.0.conv1.weight is missing"), "{message}");
    assert!(message.contains("and 17 more"), "{message}");
    let message = open(&cut, None, Some(&["layer5"]));
    assert!(message.contains("no layer 'layer5'; it has layer1, layer2"), "{message}");
    let message = open(&cut, Some("resnet50"), None);
    assert!(message.contains("layer1.0.conv1.weight is [64, 64, 3, 3], not [64, 64, 1, 1]"), "{message}");
    // A width of one's own.
    let mut odd = to("resnet50", &["layer3"]);
    let at = odd.iter().position(|(name, _)| name == "layer2.1.conv2.weight").unwrap();
    odd[at].1 = vec![96, 128, 3, 3];
    let message = open(&odd, None, None);
    assert!(message.contains("nearest, resnet50, but layer2.1.conv2.weight is [96, 128, 3, 3]"), "{message}");
    let message = open(&[("features.0.weight".into(), vec![64, 3, 11, 11])], None, None);
    assert!(
        message.contains("no tensor has a name of a known architecture; known are resnet18"),
        "{message}"
    );
    let junk = WeightFile::from_bytes(b"PK\x03\x04 a zip".to_vec(), "weights.pth");
    let message = junk.recognise().unwrap_err().to_string();
    assert!(message.contains("weights.pth") && message.contains("tools/convert_pth.py"), "{message}");
}

/// f16 and bf16 files give what their rounded values give in f32.
#[test]
fn half_precision_files_load() {
    let network = efficientnet_lite(0).with_taps(&["block0"]).unwrap();
    let list = tensors(&network);
    let exact = file(&list, Dtype::F32).fold(&network).unwrap();
    for (dtype, precision) in [(Dtype::F16, 2.0_f32.powi(-11)), (Dtype::BF16, 2.0_f32.powi(-8))] {
        let rounded = file(&list, dtype).fold(&network).unwrap();
        for (a, b) in exact.iter().flatten().zip(rounded.iter().flatten()) {
            // Three roundings in a product with a square root, whose share is half; a little more for
            // subnormals.
            let near = |a: &f32, b: &f32| (a - b).abs() <= 3.0 * precision * a.abs() + 1e-6;
            assert!(a.w.iter().zip(&b.w).all(|(a, b)| near(a, b)), "{dtype:?}");
            assert_ne!(a, b, "{dtype:?}");
        }
    }
}

/// A real ResNet-18 on real images, where both stand beside the checkout.
#[test]
fn resnet18_tells_bottles_apart() {
    let _turn = turn();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let (file, folder) =
        (root.join("weights/resnet18_to_layer3.safetensors"), root.join("data/mvtec_ad/bottle"));
    if !file.is_file() || !folder.is_dir() {
        println!("skipped: {} or {} is not there", file.display(), folder.display());
        return;
    }
    let (_, device) = direct();
    let backbone = Backbone::open(&file, None, None).unwrap();
    assert_eq!(backbone.network.name, "resnet18");
    let mut train = TrainSet::open(&folder).unwrap();
    train.paths.truncate(20);
    let source = train.source(DecodeOptions::default());
    let options = FitOptions { coreset_ratio: 0.05, ..FitOptions::paper(256, 224) };
    let began = std::time::Instant::now();
    let detector = Detector::fit(device, &backbone, &source, &options, &Quiet).unwrap();
    println!("fit of 20 images: {:.1} s", began.elapsed().as_secs_f64());
    let info = detector.info();
    assert_eq!((info.options.embedding, info.dim, info.grid), (Embedding::Pooled, 1024, [28, 28]));
    let mut test = TestSet::open(&folder).unwrap();
    // Every fourth: 5 good ones and some of each defect.
    let mut index = 0;
    test.items.retain(|_| {
        index += 1;
        index % 4 == 0
    });
    let mut scores = Vec::new();
    let began = std::time::Instant::now();
    detector
        .score_source(&test.source(DecodeOptions::default()), Want::Maps, &Quiet, |_, score| {
            scores.push(score.score);
            Ok(())
        })
        .unwrap();
    println!("scores of {} images: {:.1} s", scores.len(), began.elapsed().as_secs_f64());
    let labels: Vec<bool> = test.items.iter().map(|i| i.is_defect()).collect();
    let figure = auroc(&scores, &labels).unwrap();
    println!("image AUROC {figure}");
    assert!(figure >= 0.95, "image AUROC {figure}");
    // The model goes through a file, embedding included.
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("model.safetensors");
    detector.save(&path).unwrap();
    assert_eq!(Detector::load(device, &backbone, &path).unwrap().model(), detector.model());
}
