//! Files of weights: which network they are of, and their layers; also of a network so small that they can be
//! whole.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::{Corpus, fuzz_target};
use safetensors::tensor::{Dtype, TensorView};
use softpatch::low_level::backbone::network::Kind;
use softpatch::low_level::backbone::{Backbone, Network, WeightFile, architectures};
use softpatch_fuzz::memory::bounded;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Names of tensors with their shapes.
type Names = Vec<(String, Vec<usize>)>;

/// What there is to choose from.
struct Known {
    /// The first layers of a network, of few channels: a file can hold them whole.
    small: Network,
    small_names: Names,
    /// Small tensors of all architectures, and others.
    names: Names,
}

static KNOWN: OnceLock<Known> = OnceLock::new();

/// What a file of `network` holds.
fn expected(network: &Network) -> Names {
    let (mut channels, mut names) = (vec![3], Vec::new());
    for layer in &network.layers {
        let (from, k) = (channels[layer.input], layer.kernel as usize);
        let (to, from) = match layer.kind {
            Kind::Conv { out_c } => (out_c as usize, from),
            Kind::Depthwise | Kind::MaxPool => (from, 1),
        };
        channels.push(to);
        if layer.kind != Kind::MaxPool {
            names.push((layer.weight.clone(), vec![to, from, k, k]));
            for part in ["weight", "bias", "running_mean", "running_var"] {
                names.push((format!("{}.{part}", layer.norm), vec![to]));
            }
        }
    }
    names
}

impl Known {
    fn new() -> Self {
        let all = architectures();
        let mut small = all.iter().find(|network| network.name == "efficientnet-lite0").unwrap().clone();
        small.layers.truncate(3);
        for layer in &mut small.layers {
            if let Kind::Conv { out_c } = &mut layer.kind {
                *out_c = 4;
            }
        }
        small.taps.truncate(1);
        small.taps[0].value = 3;
        let mut names: Names = all.iter().flat_map(expected).collect();
        names.retain(|(_, shape)| shape.iter().product::<usize>() < 512);
        let others =
            ["fc.weight", "classifier.bias", "layer9.x", "", "bn1.num_batches_tracked", "\u{202e}\n"];
        names.extend(others.map(|name| (name.to_owned(), vec![1])));
        Self { small_names: expected(&small), small, names }
    }
}

/// Tensors that differ from what is expected.
#[derive(Arbitrary, Debug)]
struct Changed {
    /// Whether the small network is there, with exceptions.
    whole: bool,
    tensors: Vec<(u16, u8, u8, u16)>,
}

/// A file of these tensors.
fn file(known: &Known, changed: &Changed) -> Option<Vec<u8>> {
    let mut tensors: BTreeMap<&str, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    let bytes = |dtype: Dtype, shape: &[usize], word: u16| {
        let count = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        word.to_le_bytes().into_iter().cycle().take(count).collect::<Vec<u8>>()
    };
    if changed.whole {
        for (name, shape) in &known.small_names {
            tensors.insert(name, (Dtype::F32, shape.clone(), bytes(Dtype::F32, shape, 0x3f00)));
        }
    }
    for (which, how, side, word) in changed.tensors.iter().take(12) {
        let names = if changed.whole && how % 3 > 0 { &known.small_names } else { &known.names };
        let (name, shape) = &names[usize::from(*which) % names.len()];
        let mut shape = shape.clone();
        let dtypes = [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64, Dtype::I64, Dtype::U8];
        let dtype = dtypes[usize::from(how / 8) % dtypes.len()];
        let last = shape.len() - 1;
        match side % 8 {
            0 => shape[0] += 1,
            1 => shape[last] = 0,
            2 => shape.push(1),
            3 => shape = Vec::new(),
            4 => {
                tensors.remove(name.as_str());
                continue;
            }
            _ => {}
        }
        let bytes = bytes(dtype, &shape, *word);
        tensors.insert(name, (dtype, shape, bytes));
    }
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name, view))
        })
        .collect();
    safetensors::serialize(views.ok()?, None).ok()
}

fn read(known: &Known, bytes: &[u8], whose: bool) {
    let most = bytes.len() * 64 + (1 << 22);
    let weights = || WeightFile::from_bytes(bytes.to_vec(), "weights");
    // To look through all architectures takes a hundred times as long as the rest.
    if whose {
        let _ = bounded(most, || Backbone::from_weights(weights(), None, None));
    }
    let fits = bounded(most, || weights().check(&known.small)).is_ok();
    let folded = bounded(most, || weights().fold(&known.small));
    assert_eq!(fits, folded.is_ok());
    folded.into_iter().for_each(|layers| assert_eq!(layers.len(), known.small.layers.len()));
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let known = KNOWN.get_or_init(Known::new);
    let Some((first, rest)) = data.split_first() else { return Corpus::Reject };
    if first % 4 == 0 {
        read(known, rest, first % 128 == 0);
        return Corpus::Keep;
    }
    let Ok(changed) = Changed::arbitrary(&mut Unstructured::new(rest)) else { return Corpus::Reject };
    let Some(bytes) = file(known, &changed) else { return Corpus::Reject };
    read(known, &bytes, first % 128 == 1);
    Corpus::Keep
});
