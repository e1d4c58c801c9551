//! What a device refuses is an error that says so, what is allowed is used, and large shapes are split, not
//! cut.

use crate::common::{
    DIVISION, assert_close, checked, direct, gamma, noise, on_devices, on_each, tiled, turn,
};
use softpatch::Error;
use softpatch::detector::{FitOptions, Quiet};
use softpatch::low_level::bank::MemoryBank;
use softpatch::low_level::gpu::{Archetype, Device, DeviceOptions, Recorder, Shader, adapters, grid_1d};
use softpatch::low_level::reference;
use softpatch::low_level::reference::search::search::{nearest_neighbor, soft_scores};
use softpatch::low_level::shaders;
use softpatch::low_level::shapes::Activation;
use softpatch::low_level::steps::network::gemm::Gemm;
use softpatch::low_level::steps::patches::means::PatchMean;
use softpatch::methods::{fit_embeddings, score_embeddings};

#[test]
fn grids_cover_everything_within_the_limit() {
    for groups in [0, 1, 64, 65_535, 65_536, 1_000_000, 4_000_000_000] {
        let [x, y, z] = grid_1d(groups, 65_535);
        assert!(x <= 65_535 && y <= 65_536 && z == 1, "{groups}");
        assert!(u64::from(x) * u64::from(y) >= u64::from(groups.max(1)), "{groups}");
    }
}

#[test]
fn a_grid_of_more_than_65535_groups_loses_nothing() {
    let _turn = turn();
    let (_, device) = direct();
    // 64 invocations a group: 4.3 million positions of 4 values are 67 000 groups.
    let (h, w) = (2100_u32, 2050);
    let x: Vec<f32> = (0..(h * w * 4) as usize).map(|i| (i % 251) as f32).collect();
    let tx = device.upload(&x, "x").unwrap();
    let c = device.alloc(x.len(), "c").unwrap();
    let mut recorder = Recorder::new(device);
    PatchMean { x: &tx, c: &c, shape: [1, h, w, 4], rows: 0..h, row: 4, to: 0 }
        .record(&mut recorder)
        .unwrap();
    recorder.run().unwrap();
    let got: Vec<f32> = device.read(&c).unwrap();
    // The last rows, where a cut grid would have left zeros: rows h - 3 .. h give the means of the last two.
    let tail = (h as usize - 3) * w as usize * 4;
    let want = reference::patches::means::patch_mean3(&x[tail..], [3, w as usize, 4]);
    let two = 2 * w as usize * 4;
    // A mean of nine values, none negative, and the reference's rounding.
    let mean = gamma(9 + DIVISION + 1);
    assert_close("last rows", &got[got.len() - two..], &want[want.len() - two..], 0.0, mean);
}

#[test]
fn a_tall_matrix_is_split_over_the_grid() {
    let _turn = turn();
    for (name, device) in [direct(), tiled()] {
        // 2.2 million rows in tiles of 32 are more than 65 535 groups along one dimension.
        let (m, k, n) = (2_200_000_usize, 4, 4);
        let (x, w) = (noise(1, m * k, 0.0, 1.0), noise(2, n * k, 0.0, 1.0));
        let (tx, tw) = (device.upload(&x, "x").unwrap(), device.upload(&w, "w").unwrap());
        let (bias, c) = (device.alloc(n, "bias").unwrap(), device.alloc(m * n, "c").unwrap());
        let mut recorder = Recorder::new(device);
        let (rows, k, n) = (m as u32, k as u32, n as u32);
        let activation = Activation::None;
        Gemm { x: &tx, w: &tw, bias: &bias, residual: None, c: &c, m: rows, k, n, activation }
            .record(&mut recorder)
            .unwrap();
        recorder.run().unwrap();
        let got: Vec<f32> = device.read(&c).unwrap();
        let last = &x[(m - 1000) * 4..];
        let want = reference::network::gemm::gemm(last, &w, 1000, 4, 4);
        // Four products of numbers in -1 .. 1.
        assert_close(name, &got[(m - 1000) * 4..], &want, 4.0 * gamma(4 + 2), 0.0);
    }
}

#[test]
fn what_passes_a_limit_is_refused_with_its_numbers() {
    let _turn = turn();
    let (_, device) = checked()[0];
    let too_long = (device.caps().max_binding / 4) as usize + 4;
    let error = device.alloc(too_long, "huge").unwrap_err();
    assert!(matches!(&error, Error::Limit(m) if m.contains("huge") && m.contains("134217728")), "{error}");
    let small = device.alloc(16, "small").unwrap();
    let mut recorder = Recorder::new(device);
    let gemm = |m, k, n| Gemm {
        x: &small,
        w: &small,
        bias: &small,
        residual: None,
        c: &small,
        m,
        k,
        n,
        activation: Activation::None,
    };
    for (m, k, n) in [(1, 3, 4), (1, 4, 3), (1, 0, 4), (8, 4, 4), (u32::MAX, 4, 4)] {
        assert!(matches!(gemm(m, k, n).record(&mut recorder), Err(Error::Limit(_))), "{m}x{k}x{n}");
    }
    gemm(4, 4, 4).record(&mut recorder).unwrap();
}

#[test]
fn unknown_kernels_constants_and_adapters_are_errors() {
    let _turn = turn();
    let (_, device) = checked()[0];
    let all = shaders();
    let pool = all.iter().find(|s| s.name == "network/pool").unwrap();
    device.kernel(pool, &[], &[]).unwrap();
    assert!(device.kernel(pool, &[("NOPE", 1)], &[]).is_err());
    let broken = |entry, text| Shader { entry, text, ..**pool };
    for shader in [broken("nope", pool.text), broken("main", "fn main() {}"), broken("main", "fn main(")] {
        let error = device.kernel(&shader, &[], &["SOME"]).unwrap_err().to_string();
        assert!(error.contains("network/pool"), "{error}");
    }
    let unknown = DeviceOptions { adapter: Some("no such adapter".into()), ..Default::default() };
    let error = Device::open(&unknown).unwrap_err().to_string();
    assert!(error.contains("no such adapter") && error.contains(&adapters()[0].name), "{error}");
    // An index and a part of the name find the same adapter.
    let name = adapters()[0].name.to_uppercase();
    for adapter in ["0", &name[..4]] {
        let options = DeviceOptions { adapter: Some(adapter.to_owned()), ..Default::default() };
        assert_eq!(Device::open(&options).unwrap().caps().adapter, adapters()[0].name);
    }
}

/// The variant that the capabilities allow is the one that was built: a silent fallback is a failure.
#[test]
fn the_variant_in_use_is_the_one_chosen() {
    let _turn = turn();
    on_devices(|name, device| {
        let x = device.alloc(64 * 64, "x").unwrap();
        let c = device.alloc(64 * 64, "c").unwrap();
        let mut recorder = Recorder::new(device);
        let activation = Activation::None;
        Gemm { x: &x, w: &x, bias: &x, residual: None, c: &c, m: 64, k: 64, n: 64, activation }
            .record(&mut recorder)
            .unwrap();
        let caps = device.caps();
        let texels = caps.texels > 0 && caps.int64;
        let mut expected = match (caps.archetype, caps.subgroup) {
            (Archetype::Direct, Some((8, 8))) if texels => "network/gemm_direct+SUBGROUP+TEXELS",
            (Archetype::Direct, Some((8, 8))) => "network/gemm_direct+SUBGROUP",
            (Archetype::Direct, _) => "network/gemm_direct",
            (Archetype::Tiled, _) => "network/gemm_tiled+SMALL",
        }
        .to_owned();
        if caps.archetype == Archetype::Direct && caps.int64 {
            expected += "+INT64";
        }
        let built = device.built_kernels();
        assert!(built.contains(&expected), "{name}: {expected} is not among {built:?}");
    });
}

/// A dispatch that does not bring what the shader declares is told by both sizes, not by wrong results.
#[test]
fn what_a_dispatch_brings_is_what_the_shader_declares() {
    static SHADER: Shader = Shader {
        name: "test",
        entry: "twice",
        text: "
            struct Params { n: u32, by: u32 }
            struct State { calls: u32, sums: array<u32, 3> }
            @group(0) @binding(0) var<storage, read> x: array<u32>;
            @group(0) @binding(1) var<storage, read_write> state: State;
            @group(0) @binding(2) var<uniform> p: Params;
            @compute @workgroup_size(1) fn twice() { state.calls = p.by * x[p.n]; }
            @compute @workgroup_size(1) fn none() { state.calls = 7u; }",
        shared: &[],
        variants: &[&[]],
    };
    let _turn = turn();
    let (_, device) = checked()[0];
    let kernel = device.kernel(&SHADER, &[], &[]).unwrap();
    let x = device.upload(&[1_u32, 2, 3], "x").unwrap();
    let [state, short] = [4, 3].map(|words| device.alloc(words, "state").unwrap());
    let mut recorder = Recorder::new(device);
    recorder.dispatch(&kernel, "", &[&x, &state], &[2_u32, 5], [1, 1, 1]).unwrap();
    recorder.run().unwrap();
    assert_eq!(device.read::<u32>(&state).unwrap(), [15, 0, 0, 0]);
    let told = |f: &dyn Fn(&mut Recorder)| -> String {
        let mut recorder = Recorder::new(device);
        let f = std::panic::AssertUnwindSafe(|| f(&mut recorder));
        *std::panic::catch_unwind(f).unwrap_err().downcast().unwrap()
    };
    let message = told(&|r| drop(r.dispatch(&kernel, "", &[&x, &state], &[2_u32, 5, 0], [1, 1, 1])));
    assert!(message.contains("test:twice") && message.contains("8") && message.contains("12"), "{message}");
    let message = told(&|r| drop(r.dispatch(&kernel, "", &[&x, &short], &[2_u32, 5], [1, 1, 1])));
    assert!(message.contains("binding 1") && message.contains("16") && message.contains("12"), "{message}");
    let message = told(&|r| drop(r.dispatch(&kernel, "", &[&x], &[2_u32, 5], [1, 1, 1])));
    assert!(message.contains("storage bindings"), "{message}");
    // Its other entry point has neither an input nor parameters, but begins at binding 1.
    let error = device.kernel(&Shader { entry: "none", ..SHADER }, &[], &[]).unwrap_err().to_string();
    assert!(error.contains("test:none") && error.contains("binding 0"), "{error}");
}

/// The application's own device works as well, and stays the application's.
#[test]
fn an_application_lends_its_device() {
    let _turn = turn();
    use softpatch::low_level::gpu::wgpu;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter =
        pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap();
    let (device, queue) =
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    let ours = Device::from_wgpu(device.clone(), queue);
    assert_eq!(ours.caps().subgroup, None, "a feature that was not requested is not used");
    let x = ours.upload(&[1.0_f32, 2.0, 3.0, 4.0], "x").unwrap();
    assert_eq!(ours.read::<f32>(&x).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    drop(ours);
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
}

/// A bank of 30 000 rows of 1024 values, the whole way on WebGPU's default limits: it is 117 MiB of the 128
/// that bind.
#[test]
fn a_bank_that_nearly_fills_a_binding_is_found_and_searched() {
    const DIM: usize = 1024;
    const ROWS: usize = 30_000;
    let (grid, images, positions) = ([8, 8], 496, 64);
    let _turn = turn();
    let (_, device) = direct();
    assert_eq!(device.caps().max_binding, 128 << 20);
    // Points of a curved surface: every pick has few patches near it, as real ones have.
    let slopes = noise(1, 3 * DIM, 0.0, 3.0);
    let point = |t: &[f32]| -> Vec<f32> {
        slopes.chunks_exact(3).map(|s| (s[0] * t[0] + s[1] * t[1] + s[2]).sin()).collect()
    };
    let train: Vec<f32> =
        noise(2, 2 * images * positions, 0.0, 1.0).chunks_exact(2).flat_map(point).collect();
    let options = FitOptions {
        tau: 0.05,
        coreset_ratio: ROWS as f64 / (images * positions) as f64,
        ..FitOptions::paper(64, 64)
    };
    let fitted = fit_embeddings(device, &train, grid, DIM as u32, &options, &Quiet).unwrap();
    let model = fitted.model;
    assert_eq!((model.info.rows as usize, model.bank.weights.len()), (ROWS, ROWS));
    // No row twice, all of them kept ones, and each with its own embedding and weight.
    let mut kept = vec![false; images * positions];
    fitted.kept.iter().for_each(|&k| kept[k as usize] = true);
    for (i, [image, y, x]) in model.bank.provenance.iter().enumerate() {
        let patch = *image as usize * positions + (y * grid[1] + x) as usize;
        assert!(std::mem::take(&mut kept[patch]), "row {i} is patch {patch}");
        assert_eq!(model.bank.rows[i * DIM..][..DIM], train[patch * DIM..][..DIM], "row {i}");
        assert_eq!(model.bank.weights[i], fitted.outlier[patch], "row {i}");
    }
    assert_eq!(model.train_scores.len(), images);
    assert!(model.train_scores.iter().all(|s| *s > 0.0 && s.is_finite()));

    let aside = noise(4, positions * DIM, 0.0, 0.1);
    let on: Vec<f32> = noise(3, 2 * positions, 0.0, 1.0).chunks_exact(2).flat_map(point).collect();
    let query: Vec<f32> = on.iter().zip(aside).map(|(a, b)| a + b).collect();
    let (index, squared) = nearest_neighbor(&query, &model.bank.rows, DIM, &[], |_, _| false);
    let want = soft_scores(&squared, &index, &model.bank.weights);
    let load = |_, out: &mut [f32]| {
        out.copy_from_slice(&query);
        Ok(())
    };
    on_each(&[direct().clone(), tiled().clone()], |name, device| {
        let mut found = Vec::new();
        score_embeddings(device, &model, 1, softpatch::detector::Want::Maps, load, |score| {
            found.push(score);
            Ok(())
        })
        .unwrap();
        // Squares of rounded differences, their sum, the weight; the reference rounds at the sum and at the
        // weight.
        assert_close(name, &found[0].patches, &want, 0.0, gamma(DIM + 3 + 1 + 2));
        assert_eq!(found[0].score, found[0].patches.iter().copied().fold(0.0, f32::max), "{name}");
    });
}

/// A search that would write past its buffers, or past the queries that there are, is refused before it is recorded.
#[test]
fn queries_past_a_search_are_refused() {
    let _turn = turn();
    let device = &direct().1;
    let rows: Vec<f32> = noise(5, 40 * 8, -1.0, 1.0);
    let bank = MemoryBank {
        weights: vec![1.0; 40],
        rows,
        floors: Vec::new(),
        provenance: vec![[0; 3]; 40],
        index: None,
    };
    let bank = bank.on_device(device).unwrap();
    let search = bank.search(device, 16, 32).unwrap();
    let x = device.alloc(64 * 8, "queries").unwrap();
    let record = |queries| bank.record(&mut Recorder::new(device), &search, &x, queries, None);
    record(0..16).unwrap();
    record(16..32).unwrap();
    for queries in [0..17, 32..33, 24..40] {
        let error = record(queries.clone()).unwrap_err();
        assert!(matches!(error, Error::Limit(_)), "{queries:?}: {error}");
    }
}
