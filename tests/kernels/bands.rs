//! An image in bands of rows has the embeddings of the image in one piece, bit by bit.

use crate::common::{Named, direct, noise, on_each, tiled, turn};
use crate::precision::{half_devices, plain_devices};
use half::f16;
use softpatch::low_level::backbone::network::{Kind, Layer, Padding, Tap};
use softpatch::low_level::backbone::{
    Extraction, Extractor, Network, Patches, Precision, WeightFile, resnet,
};
use softpatch::low_level::gpu::{Archetype, Device};
use softpatch::low_level::shapes::Activation;

/// A network with everything that bands have to mind: maximum pooling, steps of 2 with and without a kernel
/// that overlaps, both kinds of padding, a shortcut past two layers, one past a single layer, and channels
/// that leave rows off the alignment of bindings.
fn network() -> Network {
    let mut layers: Vec<Layer> = Vec::new();
    let mut add = |kind, [kernel, stride]: [u32; 2], padding, input, residual| {
        let (name, activation) = (format!("layer{}", layers.len()), Activation::Relu);
        let (weight, norm) = (format!("{name}.weight"), format!("{name}.norm"));
        layers.push(Layer { kind, kernel, stride, padding, input, residual, activation, weight, norm });
        layers.len()
    };
    let conv = |out_c| Kind::Conv { out_c };
    let pad = Padding::Explicit;
    let stem = add(conv(8), [7, 2], pad(3), 0, None);
    let pooled = add(Kind::MaxPool, [3, 2], pad(1), stem, None);
    let wide = add(conv(24), [1, 1], pad(0), pooled, None);
    let deep = add(Kind::Depthwise, [5, 1], Padding::Same, wide, None);
    let fine = add(conv(8), [1, 1], pad(0), deep, Some(pooled));
    let step = add(Kind::Depthwise, [3, 2], Padding::Same, fine, None);
    let middle = add(conv(12), [3, 1], pad(1), step, None);
    let skip = add(conv(12), [1, 2], pad(0), fine, None);
    let sum = add(conv(12), [3, 1], pad(1), middle, Some(skip));
    let last = add(conv(12), [3, 1], Padding::Same, sum, Some(sum));
    Network {
        name: "bands".into(),
        layers,
        taps: vec![Tap { name: "fine".into(), value: fine }, Tap { name: "coarse".into(), value: last }],
        mean: [0.0; 3],
        std: [1.0; 3],
        eps: 1e-5,
    }
}

/// Embeddings of an image, and the number of pieces it was computed in; twice, for what the first image
/// leaves behind must not matter.
fn embed(device: &Device, network: &Network, weights: &WeightFile, how: Extraction) -> (Vec<f32>, usize) {
    let mut extractor = Extractor::with(device, network.clone(), weights, how).unwrap();
    assert_eq!(extractor.batch(), 1);
    let [height, width] = how.size.map(|n| n as usize);
    let image = noise(7, height * width * 4, 0.0, 2.0);
    let halves: Vec<f16> = image.iter().map(|v| f16::from_f32(*v)).collect();
    let pieces = extractor.pieces().to_vec();
    let [grid_h, grid_w] = extractor.grid();
    let row = (grid_w * extractor.dim()) as usize;
    let mut embeddings = Vec::new();
    for _ in 0..2 {
        embeddings.clear();
        for (i, piece) in pieces.iter().enumerate() {
            let pixels = piece.input.start as usize * width * 4..piece.input.end as usize * width * 4;
            match how.precision {
                Precision::F16 => device.write(extractor.input(), 0, &halves[pixels]),
                _ => device.write(extractor.input(), 0, &image[pixels]),
            }
            extractor.plan(1, i).unwrap().submit().unwrap();
            let rows: Vec<f32> =
                device.read(&extractor.embedding().slice(0, piece.rows.len() * row)).unwrap();
            assert_eq!(piece.rows.start as usize * row, embeddings.len());
            embeddings.extend(rows);
        }
    }
    assert_eq!(embeddings.len(), grid_h as usize * row);
    (embeddings, pieces.len())
}

/// Holds the embeddings in bands of several heights, the lowest among them, against those in one piece.
fn compare(name: &str, device: &Device, network: &Network, weights: &WeightFile, how: Extraction) {
    let (want, pieces) = embed(device, network, weights, how);
    assert_eq!(pieces, 1);
    let whole = Extractor::with(device, network.clone(), weights, how).unwrap().bytes();
    let mut tried = Vec::new();
    for memory in [whole - 1, whole / 2, whole / 3, 0] {
        let how = Extraction { memory, ..how };
        let pieces = Extractor::with(device, network.clone(), weights, how).unwrap().pieces().len();
        if tried.contains(&pieces) {
            continue;
        }
        tried.push(pieces);
        let (got, _) = embed(device, network, weights, how);
        let differ = got.iter().zip(&want).filter(|(g, w)| g.to_bits() != w.to_bits()).count();
        assert_eq!(differ, 0, "{name} {how:?}: of {} values in {pieces} bands", want.len());
    }
    println!("{name} {:?} {:?} {:?}: {tried:?} bands", how.size, how.patches, how.precision);
    assert!(tried.iter().all(|bands| *bands > 1), "{tried:?}");
}

/// Every kernel of a device that a network is made of.
#[test]
fn bands_of_rows_leave_no_seam() {
    let _turn = turn();
    let network = network();
    let weights = WeightFile::made_up(&network).unwrap();
    let each = |devices: &[Named], precision| {
        on_each(devices, |name, device| {
            for (size, patches) in [
                // Rows off the alignment of bindings, sizes that no stride divides, a grid that the coarser
                // one is not half of.
                ([83, 75], Patches::Concat),
                ([83, 75], Patches::Pooled { dim: 64 }),
                ([72, 64], Patches::Concat),
                // A line scan, and one on end.
                ([40, 520], Patches::Concat),
                ([520, 40], Patches::Concat),
            ] {
                let how = Extraction { patches, precision, ..Extraction::new(size) };
                compare(name, device, &network, &weights, how);
            }
        });
    };
    each(plain_devices(), Precision::F32);
    // Tiles of every size give the same bits: of emulated matrices, which are slow, one.
    let one_size = |(name, _): &&Named| !name.ends_with("emulated") || name.contains("middle");
    let half: Vec<Named> = half_devices().iter().filter(one_size).cloned().collect();
    each(&half, Precision::F16);
}

#[cfg(feature = "embedded-weights")]
#[test]
fn the_embedded_backbone_leaves_no_seam() {
    let _turn = turn();
    let network =
        softpatch::low_level::backbone::efficientnet_lite(0).with_taps(&["block4", "block10"]).unwrap();
    on_each(&[direct().clone(), tiled().clone()], |name, device| {
        let all = [[131, 90], [160, 112], [64, 2048], [1024, 48]];
        // A software driver takes long over kernels for GPUs: one size, whose sides are nobody's multiple.
        let few = if device.caps().archetype == Archetype::Tiled { 1 } else { all.len() };
        for size in &all[..few] {
            compare(name, device, &network, &WeightFile::embedded(), Extraction::new(*size));
        }
    });
}

#[test]
fn a_resnet_leaves_no_seam() {
    let _turn = turn();
    let network = resnet("resnet18").unwrap().with_taps(&["layer2", "layer3"]).unwrap();
    let weights = WeightFile::made_up(&network).unwrap();
    let patches = Patches::Pooled { dim: 1024 };
    on_each(&[direct().clone(), tiled().clone()], |name, device| {
        let how = Extraction { patches, ..Extraction::new([141, 99]) };
        compare(name, device, &network, &weights, how);
    });
}
