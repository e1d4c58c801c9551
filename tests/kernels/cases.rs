//! The table of cases: right on every device, and every variant of every shader in it.

use crate::common::{Named, devices, on_each, second_pass, turn};
use softpatch::low_level::backbone::efficientnet_lite;
use softpatch::low_level::cases::{Scale, method, network, products_of, small};
use softpatch::low_level::gpu::{Archetype, Device, DeviceOptions};
use softpatch::low_level::roofline::{measure, probe};
use softpatch::low_level::shaders;
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Shader and flags of a pipeline, in any order.
fn variant(label: &str) -> BTreeSet<String> {
    let name = label.split(' ').next().unwrap_or_default();
    name.split('+').map(str::to_owned).collect()
}

/// Why no device here can choose a variant; `None` where one can.
fn beyond(shader: &str, flags: &BTreeSet<&str>, device: &Device) -> Option<&'static str> {
    let caps = device.caps();
    let direct = shader.ends_with("_direct");
    let tiled = shader.ends_with("_tiled")
        || ["network/depthwise", "network/gemm_coop", "search/search"].contains(&shader);
    let matrices = ["network/gemm_coop", "device/probe_coop", "device/coop_check"].contains(&shader);
    let both = ["outlier/cholesky", "outlier/mahalanobis"].contains(&shader);
    let eight = caps.subgroup == Some((8, 8));
    if matrices && !flags.contains("SOFT") && caps.coop.is_none_or(|c| c.emulated) {
        return Some("the adapter has no cooperative matrices");
    }
    if matrices && !caps.f16 || shader == "device/probe" && flags.contains("F16") && !caps.f16 {
        return Some("the adapter has no arithmetic in f16");
    }
    if flags.contains("INT64") && !caps.int64 {
        return Some("the adapter has no words of 64 bits");
    }
    if flags.contains("INT64") && tiled {
        return Some("words of 64 bits are for CPU drivers");
    }
    let wide = flags.contains("INT64") || !shaders().iter().any(|s| s.name == shader && s.asks_for("INT64"));
    if flags.contains("TEXELS") && (caps.texels == 0 || !wide) {
        return Some("textures are read beside words of 64 bits, where the adapter has both");
    }
    let eight_needed = flags.contains("SUBGROUP") && (direct || both) || shader == "search/search_direct";
    if eight_needed && !eight {
        return Some("the adapter has no subgroups of exactly 8");
    }
    let fixed = caps.subgroup.is_some_and(|(low, high)| low == high && [8, 16, 32].contains(&low));
    if shader == "search/search" && flags.contains("SUBGROUP") && !fixed {
        return Some("the adapter has no subgroups of exactly 8, 16 or 32");
    }
    None
}

/// Devices with cooperative matrices in ordinary registers, and those of their own where the adapter has
/// them.
fn with_matrices() -> Vec<(String, Device)> {
    let open = |emulate_coop| {
        let options =
            DeviceOptions { archetype: Some(Archetype::Tiled), emulate_coop, ..DeviceOptions::default() };
        Device::open(&options).unwrap()
    };
    // Narrower and wider subgroups than most GPUs have: AMD's have 64 lanes.
    [Some((8, 32)), Some((16, 32)), Some((8, 16)), Some((16, 64)), None]
        .into_iter()
        .map(|of| (format!("tiled, matrices {of:?}"), open(of)))
        .filter(|(_, device)| device.caps().coop.is_some())
        .collect()
}

/// All that the `direct` family can choose, with wgpu's checks: among the devices of other tests it is without.
fn checked() -> Named {
    let archetype = Some(Archetype::Direct);
    let options = DeviceOptions { archetype, unchecked: Some(false), ..DeviceOptions::default() };
    ("direct, checked".to_owned(), Device::open(&options).unwrap())
}

#[test]
fn every_variant_is_run_and_right() {
    let _turn = turn();
    let run: Mutex<BTreeSet<BTreeSet<String>>> = Mutex::default();
    let matrices = if second_pass() { Vec::new() } else { with_matrices() };
    let checked = if second_pass() { None } else { Some(checked()) };
    let all: Vec<Named> = devices().iter().chain(&matrices).chain(&checked).cloned().collect();
    on_each(&all, |name, device| {
        let mut labels: Vec<String> = Vec::new();
        let mut ids = BTreeSet::new();
        for entry in small(device) {
            assert!(ids.insert(entry.id()), "{name}: {} is there twice", entry.id());
            // What is no product is the same on the other devices.
            let products = ["gemm", "conv"].contains(&entry.kernel) && entry.shape.contains("f16");
            if device.caps().coop.is_some_and(|coop| coop.emulated) && !products {
                continue;
            }
            let case = entry.make(device).unwrap_or_else(|e| panic!("{name}: {}: {e}", entry.id()));
            // Twice: a plan may not depend on what its buffers held.
            for _ in 0..2 {
                let verdict = case.run(device).unwrap();
                assert!(verdict.passed(), "{name}: {}: {verdict:?} {:?}", entry.id(), case.kernels());
            }
            assert!(case.work(device).unwrap().bytes > 0.0, "{name}: {}", entry.id());
            labels.extend(case.kernels());
        }
        // Its own check of the matrices, and the probes of the roofline.
        probe(device).unwrap();
        labels.extend(device.built_kernels());
        run.lock().unwrap().extend(labels.iter().map(|label| variant(label)));
    });
    let run = run.into_inner().unwrap();
    if second_pass() {
        println!("{} variants run; which are missing the first run tells", run.len());
        return;
    }
    // The one with the most to offer tells what there is on this adapter.
    let most = matrices.first().map_or(&devices()[0].1, |(_, device)| device);
    let most_words = devices().iter().any(|(_, device)| device.caps().int64);
    assert_eq!(most.caps().int64, most_words);
    let (mut missing, mut counted) = (Vec::new(), 0);
    for shader in shaders() {
        let words: &[&[&str]] = if shader.asks_for("INT64") { &[&[], &["INT64"]] } else { &[&[]] };
        for (flags, word) in shader.variants.iter().flat_map(|f| words.iter().map(move |w| (f, w))) {
            counted += 1;
            let flags: BTreeSet<&str> = flags.iter().chain(*word).copied().collect();
            let mut want: BTreeSet<String> = flags.iter().map(|f| (*f).to_owned()).collect();
            want.insert(shader.label());
            match (run.contains(&want), beyond(shader.name, &flags, most)) {
                (true, _) => {}
                (false, Some(why)) => println!("not run: {} {flags:?}: {why}", shader.label()),
                (false, None) => missing.push(format!("{} {flags:?}", shader.label())),
            }
        }
    }
    assert!(missing.is_empty(), "no case runs {missing:#?}");
    println!("{} of {counted} variants run", run.len());
}

#[test]
fn shapes_of_real_use_are_right_and_count_their_work() {
    let _turn = turn();
    let scale = Scale { batch: 1, large: false };
    let lite = efficientnet_lite(0).with_taps(&["block4"]).unwrap();
    // Without the injected checks, as the program runs.
    let (name, device) = devices()
        .iter()
        .find(|(_, d)| d.caps().unchecked && d.caps().archetype == Archetype::Direct)
        .unwrap();
    let mut entries = network(&lite, scale, false).unwrap();
    assert_eq!(entries.iter().map(|e| e.count as usize).sum::<usize>(), lite.layers.len());
    entries.extend(network(&lite, scale, true).unwrap().into_iter().take(4));
    entries.extend(products_of(&[[784, 152, 128]], true));
    entries.extend(method(scale));
    let roof = probe(device).unwrap();
    assert!(roof.f32 > 0.0 && roof.bandwidth > 0.0 && roof.f16.is_some() == device.caps().f16);
    for entry in entries {
        let row = measure(device, &roof, &entry).unwrap();
        assert!(row.passed(), "{name} {row:?}");
        assert!(row.seconds > 0.0 && row.gbs > 0.0 && row.runs > 0, "{name} {row:?}");
        let first = row.variant.split(['+', ' ', ',']).next().unwrap_or_default();
        assert!(shaders().iter().any(|shader| shader.label() == first), "{name} {row:?}");
    }
}
