//! EfficientNet-Lite under timm's tensor names, against timm's activations (`tools/golden_timm.py`).

use crate::common::{direct, tiled, turn};
use crate::weights::{empty, file, golden, taps_equal, tensors};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use softpatch::Error;
use softpatch::detector::Backbone;
use softpatch::low_level::backbone::{
    Network, Patches, WeightFile, architecture, efficientnet_lite, efficientnet_lite0_ra,
    tf_efficientnet_lite,
};
use softpatch::low_level::gpu::Device;
use std::collections::HashMap;

fn parity(network: &Network, devices: &[&Device]) {
    let _turn = turn();
    let bytes = golden("timm.safetensors");
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let weights = file(&tensors(network), Dtype::F32);
    let ends: Vec<String> = (network.taps.iter().map(|t| t.name.clone()))
        .filter(|tap| golden.tensor(&format!("{}.224x224.{tap}.norm", network.name)).is_ok())
        .collect();
    assert_eq!(ends.len(), 7, "a tap at the end of every stage");
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    let network = network.clone().with_taps(&ends).unwrap();
    for device in devices {
        for [h, w] in [[224, 224], [139, 122]] {
            taps_equal(device, &network, &weights, [h, w], Patches::Concat, &golden);
        }
    }
}

#[test]
fn tf_efficientnet_lite0_equals_timm() {
    parity(&tf_efficientnet_lite(0), &[&direct().1, &tiled().1]);
}

#[test]
fn tf_efficientnet_lite2_equals_timm() {
    parity(&tf_efficientnet_lite(2), &[&direct().1]);
}

#[test]
fn efficientnet_lite0_ra_equals_timm() {
    parity(&efficientnet_lite0_ra(), &[&direct().1]);
}

/// Both names of a tensor stand at one place of the two tables.
fn renamed(from: &Network, to: &Network) -> HashMap<String, String> {
    let (from, to) = (tensors(from), tensors(to));
    assert!(from.iter().zip(&to).all(|(a, b)| a.1 == b.1));
    assert_eq!(from.len(), to.len());
    from.into_iter().zip(to).map(|(a, b)| (a.0, b.0)).collect()
}

/// The embedded weights under timm's names fold to the same layers, in every type.
#[cfg(feature = "embedded-weights")]
#[test]
fn embedded_weights_load_under_the_names_of_timm() {
    let taps = ["block4", "block10"];
    let ours = efficientnet_lite(0).with_taps(&taps).unwrap();
    let theirs = tf_efficientnet_lite(0).with_taps(&taps).unwrap();
    let names = renamed(&ours, &theirs);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/efficientnet_lite0_b10.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let embedded = SafeTensors::deserialize(&bytes).unwrap();
    let want = WeightFile::embedded().fold(&ours).unwrap();
    for dtype in [Dtype::F16, Dtype::F32, Dtype::BF16] {
        let values: Vec<(String, Vec<usize>, Vec<u8>)> = embedded
            .iter()
            .map(|(name, view)| {
                let words: Vec<u16> = bytemuck::pod_collect_to_vec(view.data());
                let values = words.into_iter().map(|w| half::f16::from_bits(w).to_f32());
                let bytes = match dtype {
                    Dtype::F32 => values.flat_map(f32::to_le_bytes).collect(),
                    Dtype::BF16 => values.flat_map(|v| half::bf16::from_f32(v).to_le_bytes()).collect(),
                    _ => view.data().to_vec(),
                };
                (names[name].clone(), view.shape().to_vec(), bytes)
            })
            .collect();
        let views = values
            .iter()
            .map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
        let bytes = safetensors::serialize(views, None).unwrap();
        let backbone = Backbone::from_weights(WeightFile::from_bytes(bytes, "renamed"), None, None).unwrap();
        assert_eq!(backbone.network.name, "tf_efficientnet_lite0");
        assert_eq!((backbone.network.mean, backbone.network.std), ([127.5; 3], [127.5; 3]));
        let got = backbone.weights.fold(&backbone.network).unwrap();
        if dtype == Dtype::BF16 {
            // Eight significant bits: weight and gamma err by 2^-8 at most, the root of the variance by half
            // of it.
            let pairs =
                got.iter().flatten().zip(want.iter().flatten()).flat_map(|(a, b)| a.w.iter().zip(&b.w));
            assert!({ pairs }.all(|(a, b)| (a - b).abs() <= 2.6 * 2.0_f32.powi(-8) * b.abs()));
        } else {
            assert_eq!(got, want, "{dtype:?}");
        }
    }
}

#[test]
fn the_twin_is_used_where_it_is_named() {
    let (tf, ra) = (tf_efficientnet_lite(0), efficientnet_lite0_ra());
    assert_eq!(tensors(&tf), tensors(&ra), "or the file could tell");
    let weights = empty(&tensors(&ra));
    assert_eq!(weights.recognise().unwrap().name, tf.name);
    for name in ["efficientnet_lite0.ra_in1k", "efficientnet-lite0.ra-in1k"] {
        let backbone = Backbone::from_weights(weights.clone(), Some(name), None).unwrap();
        assert_eq!((backbone.network.name, backbone.network.eps), (ra.name.clone(), 1e-5));
    }
    // The names of one's package, though the spelling is nearly the other's.
    assert_eq!(architecture("efficientnet_lite0").unwrap().layers[0].weight, "_conv_stem.weight");
    assert_eq!(architecture("tf-efficientnet-lite0").unwrap().layers[0].weight, "conv_stem.weight");
}

#[test]
fn an_incomplete_file_says_what_it_lacks() {
    let whole = tensors(&tf_efficientnet_lite(1));
    let without = |lost: &[&str]| -> Vec<_> {
        whole.iter().filter(|(name, _)| !lost.contains(&name.as_str())).cloned().collect()
    };
    let fails = |list: &[_]| match Backbone::from_weights(empty(list), None, None).unwrap_err() {
        Error::Weights { path, reason } => format!("{}: {reason}", path.display()),
        other => panic!("{other}"),
    };
    // Lite1 ends at block 14 with the default layers; what comes later may lack.
    let lost = ["blocks.4.2.conv_pwl.weight", "blocks.4.3.bn2.running_var"];
    let message = fails(&without(&lost));
    assert!(
        message.contains("zeros.safetensors: not the weights of tf_efficientnet_lite1 up to block14"),
        "{message}"
    );
    assert!(lost.iter().all(|name| message.contains(&format!("{name} is missing"))), "{message}");
    Backbone::from_weights(empty(&without(&["blocks.6.0.conv_dw.weight"])), None, None).unwrap();
    // Both packages' names at once fit neither.
    let mut mixed = without(&[]);
    mixed.push(("_conv_stem.weight".into(), vec![32, 3, 3, 3]));
    let message = fails(&mixed);
    assert!(message.contains("nearest, tf_efficientnet_lite1, but it has no _conv_stem.weight"), "{message}");
    let mut odd = without(&[]);
    let at = odd.iter().position(|(name, _)| name == "blocks.1.0.conv_dw.weight").unwrap();
    odd[at].1 = vec![96, 1, 5, 5];
    let message = fails(&odd);
    assert!(message.contains("blocks.1.0.conv_dw.weight is [96, 1, 5, 5], not [96, 1, 3, 3]"), "{message}");
}
