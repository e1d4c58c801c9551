//! Made-up weights, as `tools/golden_resnet.py` and `tools/golden_timm.py` make them, and activations against
//! theirs.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use softpatch::low_level::backbone::{
    Extraction, Extractor, Network, Patches, WeightFile, made_up, network::Kind,
};
use softpatch::low_level::gpu::Device;

/// The project's promise for every tap and for the pooled embedding, relative to the tensor's norm, is 1e-3;
/// f32 costs about 1e-6 over these depths, a hundred times that is held here.
const RELATIVE: f64 = 1e-4;

pub fn fnv(text: &str) -> u32 {
    text.bytes().fold(2_166_136_261, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619))
}

/// Every tensor that `network` needs: name and shape.
pub fn tensors(network: &Network) -> Vec<(String, Vec<usize>)> {
    let mut channels = vec![3];
    let mut all = Vec::new();
    for layer in &network.layers {
        let (in_c, k) = (channels[layer.input], layer.kernel as usize);
        let (out_c, from_c) = match layer.kind {
            Kind::Conv { out_c } => (out_c as usize, in_c),
            _ => (in_c, 1),
        };
        channels.push(out_c);
        if layer.kind != Kind::MaxPool {
            all.push((layer.weight.clone(), vec![out_c, from_c, k, k]));
            for part in ["weight", "bias", "running_mean", "running_var"] {
                all.push((format!("{}.{part}", layer.norm), vec![out_c]));
            }
        }
    }
    all
}

/// A weight file of `list` with made-up values.
pub fn file(list: &[(String, Vec<usize>)], dtype: Dtype) -> WeightFile {
    let values: Vec<Vec<u8>> = list
        .iter()
        .map(|(name, shape)| {
            let values = made_up(name, shape);
            match dtype {
                Dtype::F16 => values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
                Dtype::BF16 => values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
                _ => bytemuck::cast_slice(&values).to_vec(),
            }
        })
        .collect();
    let views = list
        .iter()
        .zip(&values)
        .map(|((name, shape), bytes)| (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    WeightFile::from_bytes(safetensors::serialize(views, None).unwrap(), "made-up.safetensors")
}

/// A weight file with these names and shapes, all values 0, in the smallest type.
pub fn empty(list: &[(String, Vec<usize>)]) -> WeightFile {
    let longest = list.iter().map(|(_, s)| s.iter().product::<usize>()).max().unwrap();
    let zeros = vec![0; 2 * longest];
    let views = list.iter().map(|(name, shape)| {
        let bytes = &zeros[..2 * shape.iter().product::<usize>()];
        (name.as_str(), TensorView::new(Dtype::F16, shape.clone(), bytes).unwrap())
    });
    WeightFile::from_bytes(safetensors::serialize(views, None).unwrap(), "zeros.safetensors")
}

/// The golden image, normalised, `[h][w][4]`.
pub fn input(h: u32, w: u32, network: &Network) -> Vec<f32> {
    let mut input = Vec::new();
    for y in 0..h {
        for x in 0..w {
            for c in 0..3_u32 {
                let hash =
                    x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ c.wrapping_mul(83_492_791);
                let wave = ((x * (c + 1) + y * (3 - c)) / 2) % 256;
                let block = if (x / 28 + y / 28) % 2 == 1 { 64 } else { 0 };
                let value = ((wave * 5 + (hash >> 16) % 256) / 8 + block).min(255) as f32;
                input.push((value - network.mean[c as usize]) / network.std[c as usize]);
            }
            input.push(0.0);
        }
    }
    input
}

/// The golden file `name`, whole.
pub fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Runs `network` on the golden image and holds every tap against its golden values.
pub fn taps_equal(
    device: &Device,
    network: &Network,
    weights: &WeightFile,
    [h, w]: [u32; 2],
    patches: Patches,
    golden: &SafeTensors<'_>,
) -> Extractor {
    let network = network.clone();
    let mut extractor =
        Extractor::with(device, network, weights, Extraction { patches, ..Extraction::new([h, w]) }).unwrap();
    device.write(extractor.input(), 0, &input(h, w, extractor.network()));
    extractor.plan(1, 0).unwrap().submit().unwrap();
    let network = extractor.network();
    for (i, tap) in network.taps.iter().enumerate() {
        let (tensor, size) = extractor.tap(i).unwrap();
        let len = size.iter().product::<u32>() as usize;
        let got: Vec<f32> = device.read(&tensor.slice(0, len)).unwrap();
        compare(golden, &format!("{}.{h}x{w}.{}", network.name, tap.name), &got, size);
    }
    extractor
}

/// A tensor against its samples and norm in the golden file.
pub fn compare(golden: &SafeTensors<'_>, key: &str, got: &[f32], size: [u32; 3]) {
    let words = |name: &str| -> Vec<[u8; 4]> {
        let data = golden.tensor(&format!("{key}.{name}")).unwrap_or_else(|e| panic!("{key}.{name}: {e}"));
        data.data().chunks_exact(4).map(|b| b.try_into().unwrap()).collect()
    };
    let floats = |name: &str| words(name).into_iter().map(f32::from_le_bytes).collect::<Vec<_>>();
    let ints = |name: &str| words(name).into_iter().map(u32::from_le_bytes).collect::<Vec<_>>();
    assert_eq!(size.to_vec(), ints("shape"), "{key}");
    let norm = f64::from(floats("norm")[0]);
    let ours: f64 = got.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    assert!((ours - norm).abs() <= RELATIVE * norm, "{key}: norm {ours}, not {norm}");
    let rms = norm / (got.len() as f64).sqrt();
    let errors =
        ints("index").into_iter().zip(floats("value")).map(|(i, v)| f64::from(got[i as usize] - v).abs());
    let worst = errors.fold(0.0, f64::max);
    // A single value may err by more than the root mean square does.
    assert!(worst <= 8.0 * RELATIVE * rms, "{key}: a value is off by {worst}, rms {rms}");
}
