//! Weight files: safetensors in f32, f16 or bf16, batch norm folded while loading.

use super::network::{Kind, Network};
use crate::workers::share;
use crate::{Error, Result};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Bytes of a file that a core folds in a microsecond, measured.
const BYTES_PER_MICROSECOND: usize = 800;

/// Convolution weights with the batch norm after it folded in, in the order that the kernels read.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// `[out_c][k][k][in_c]`, input channels padded with zeros to a multiple of 4; depthwise `[k][k][c]`.
    pub w: Vec<f32>,
    /// `[out_c]`.
    pub bias: Vec<f32>,
}

/// The bytes of a weight file with where they came from.
#[derive(Clone, Debug)]
pub struct WeightFile {
    bytes: std::borrow::Cow<'static, [u8]>,
    origin: PathBuf,
    hash: String,
}

impl WeightFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, "reading weights", e))?;
        Ok(Self::new(bytes.into(), path.to_owned()))
    }

    /// EfficientNet-Lite0 up to block 10, compiled into the library.
    #[cfg(feature = "embedded-weights")]
    pub fn embedded() -> Self {
        let bytes: &'static [u8] = include_bytes!("../../weights/efficientnet_lite0_b10.safetensors");
        Self::new(bytes.into(), "<embedded>".into())
    }

    /// The bytes of a file that is at hand otherwise; `origin` is for messages.
    pub fn from_bytes(bytes: Vec<u8>, origin: impl Into<PathBuf>) -> Self {
        Self::new(bytes.into(), origin.into())
    }

    fn new(bytes: std::borrow::Cow<'static, [u8]>, origin: PathBuf) -> Self {
        use std::fmt::Write;
        let hash = Sha256::digest(&bytes).iter().fold(String::new(), |mut s, b| {
            // Writing to a string cannot fail.
            let _ = write!(s, "{b:02x}");
            s
        });
        Self { bytes, origin, hash }
    }

    /// SHA-256 of the file in hexadecimal: a model remembers which weights it was made with.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    fn fail(&self, reason: String) -> Error {
        Error::Weights { path: self.origin.clone(), reason }
    }

    fn parse(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).map_err(|e| {
            self.fail(format!(
                "not a safetensors file, or cut short ({e}); tools/convert_pth.py converts a .pth"
            ))
        })
    }

    /// The architecture whose tensors these are, told by names and shapes: the whole table, whether or not
    /// the file goes to its end. A file that is cut off where several architectures are still equal counts as
    /// the smallest; timm's `efficientnet_lite0.ra_in1k`, which has the tensors of `tf_efficientnet_lite0`,
    /// counts as that and has to be named.
    ///
    /// # Errors
    /// [`Error::Weights`] that names the nearest architecture and what parts the file from it.
    pub fn recognise(&self) -> Result<Network> {
        let file = self.parse()?;
        let mut nearest: Option<(usize, Network, Vec<String>)> = None;
        let mut fitting: Option<(usize, Network)> = None;
        for network in super::architectures() {
            let fit = Fit::new(&file, &network);
            if fit.strange.is_empty() && fit.taps > 0 {
                if fitting.as_ref().is_none_or(|(taps, _)| fit.taps > *taps) {
                    fitting = Some((fit.taps, network));
                }
            } else if nearest.as_ref().is_none_or(|(matching, ..)| fit.matching > *matching) {
                nearest = Some((fit.matching, network, fit.differences()));
            }
        }
        if let Some((_, network)) = fitting {
            return Ok(network);
        }
        let known: Vec<_> = super::architectures().into_iter().map(|n| n.name).collect();
        Err(self.fail(match nearest {
            Some((matching @ 1.., network, differences)) => format!(
                "these weights are of no known architecture; {matching} tensors fit the nearest, {}, but \
                 {}; known are {}",
                network.name,
                listed(&differences),
                known.join(", ")
            ),
            _ => format!("no tensor has a name of a known architecture; known are {}", known.join(", ")),
        }))
    }

    /// Checks that every tensor of `network` is there, in its shape and a type that can be read.
    ///
    /// # Errors
    /// [`Error::Weights`] that lists what is missing or different.
    pub fn check(&self, network: &Network) -> Result<()> {
        let file = self.parse()?;
        let problems: Vec<String> =
            expected(network).iter().flat_map(|(_, parts)| parts).filter_map(|p| p.problem(&file)).collect();
        if problems.is_empty() { Ok(()) } else { Err(self.misfit(network, &problems)) }
    }

    fn misfit(&self, network: &Network, problems: &[String]) -> Error {
        let taps: Vec<_> = network.taps.iter().map(|t| t.name.as_str()).collect();
        self.fail(format!(
            "not the weights of {} up to {}: {}",
            network.name,
            taps.last().unwrap_or(&"its end"),
            listed(problems)
        ))
    }

    /// All layers of `network`, folded; layers without weights are `None`.
    ///
    /// # Errors
    /// [`Error::Weights`] that lists every tensor that is missing or has another shape.
    pub fn fold(&self, network: &Network) -> Result<Vec<Option<Folded>>> {
        let file = self.parse()?;
        self.check(network)?;
        let fold = |i: usize, [weight, norm @ ..]: &[Part; 5]| {
            let get = |part: &Part| {
                file.tensor(&part.name)
                    .ok()
                    .and_then(|view| values(&view))
                    .ok_or_else(|| self.fail(format!("{} cannot be read", part.name)))
            };
            let norm = [get(&norm[0])?, get(&norm[1])?, get(&norm[2])?, get(&norm[3])?];
            Ok(fold_layer(network.layers[i].kind, &weight.shape, &get(weight)?, norm, network.eps))
        };
        let mut layers: Vec<_> = expected(network).into_iter().map(|(i, parts)| (i, parts, None)).collect();
        let microseconds = (self.bytes.len() / BYTES_PER_MICROSECOND) as u64;
        share(layers.iter_mut().collect(), microseconds, |(i, parts, done)| *done = Some(fold(*i, parts)));
        let mut folded: Vec<Option<Folded>> = vec![None; network.layers.len()];
        for (i, _, done) in layers {
            folded[i] = done.transpose()?;
        }
        Ok(folded)
    }
}

/// At most 8 of `problems`, and how many there are besides.
fn listed(problems: &[String]) -> String {
    let shown = problems.iter().take(8).cloned().collect::<Vec<_>>().join("; ");
    match problems.len() {
        count @ 9.. => format!("{shown}; and {} more", count - 8),
        _ => shown,
    }
}

/// A tensor that a network needs.
pub(super) struct Part {
    pub name: String,
    pub shape: Vec<usize>,
}

impl Part {
    /// What is wrong with it in `file`.
    fn problem(&self, file: &SafeTensors<'_>) -> Option<String> {
        let Self { name, shape } = self;
        match file.tensor(name) {
            Err(_) => Some(format!("{name} is missing")),
            Ok(view) if view.shape() != shape => Some(format!("{name} is {:?}, not {shape:?}", view.shape())),
            Ok(view) => match view.dtype() {
                Dtype::F32 | Dtype::F16 | Dtype::BF16 => None,
                other => Some(format!("{name} is {other:?}, not f32, f16 or bf16")),
            },
        }
    }
}

/// Every layer with weights, by index: weights, then the batch norm's weight, bias, mean, variance.
pub(super) fn expected(network: &Network) -> Vec<(usize, [Part; 5])> {
    let mut channels = vec![3];
    let mut parts = Vec::new();
    for (i, layer) in network.layers.iter().enumerate() {
        let (in_c, k) = (channels[layer.input], layer.kernel as usize);
        let (out_c, from_c) = match layer.kind {
            Kind::Conv { out_c } => (out_c as usize, in_c),
            Kind::Depthwise | Kind::MaxPool => (in_c, 1),
        };
        channels.push(out_c);
        if layer.kind != Kind::MaxPool {
            let norm = |part: &str| Part { name: format!("{}.{part}", layer.norm), shape: vec![out_c] };
            parts.push((
                i,
                [
                    Part { name: layer.weight.clone(), shape: vec![out_c, from_c, k, k] },
                    norm("weight"),
                    norm("bias"),
                    norm("running_mean"),
                    norm("running_var"),
                ],
            ));
        }
    }
    parts
}

/// How a file compares with an architecture.
struct Fit {
    /// Tensors of the right name and shape.
    matching: usize,
    /// Stages that are there whole.
    taps: usize,
    /// Tensors of the file that the architecture has not, or has in another shape.
    strange: Vec<String>,
    /// Tensors of the architecture that the file lacks.
    missing: Vec<String>,
}

impl Fit {
    fn new(file: &SafeTensors<'_>, network: &Network) -> Self {
        let parts = expected(network);
        let mut fit = Self { matching: 0, taps: 0, strange: Vec::new(), missing: Vec::new() };
        let mut reach = network.layers.len();
        let mut known = std::collections::HashSet::new();
        for (i, layer) in &parts {
            for part in layer {
                known.insert(part.name.as_str());
                match part.problem(file) {
                    None => fit.matching += 1,
                    Some(problem) => {
                        reach = reach.min(*i);
                        let there = file.tensor(&part.name).is_ok();
                        if there { fit.strange.push(problem) } else { fit.missing.push(problem) }
                    }
                }
            }
        }
        fit.taps = network.taps.iter().filter(|t| t.value <= reach).count();
        for name in file.names() {
            if !known.contains(name) && !is_head(name) {
                fit.strange.push(format!("it has no {name}"));
            }
        }
        fit.strange.sort_unstable();
        fit
    }

    fn differences(self) -> Vec<String> {
        // Tensors of the wrong shape say more than those that are merely absent.
        self.strange.into_iter().chain(self.missing).collect()
    }
}

/// Whether a tensor belongs to what comes after the last stage, or counts training steps.
fn is_head(name: &str) -> bool {
    ["fc.", "_fc.", "_conv_head.", "_bn1.", "conv_head.", "bn2.", "classifier."]
        .iter()
        .any(|head| name.starts_with(head))
        || name.ends_with("num_batches_tracked")
}

/// Values of a tensor as f32.
fn values(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = view.data();
    Some(match view.dtype() {
        Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => data.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Dtype::BF16 => {
            data.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        _ => return None,
    })
}

/// `weight` `[out][in][k][k]` with the batch norm (weight, bias, mean, variance) folded in.
fn fold_layer(
    kind: Kind,
    shape: &[usize],
    weight: &[f32],
    [gamma, beta, mean, var]: [Vec<f32>; 4],
    eps: f64,
) -> Folded {
    let (out_c, from_c, k) = (shape[0], shape[1], shape[2]);
    let scale: Vec<f64> =
        gamma.iter().zip(&var).map(|(g, v)| f64::from(*g) / (f64::from(*v) + eps).sqrt()).collect();
    let bias = (0..out_c).map(|o| (f64::from(beta[o]) - f64::from(mean[o]) * scale[o]) as f32).collect();
    let at = |o: usize, i: usize, tap: usize| {
        (f64::from(weight[(o * from_c + i) * k * k + tap]) * scale[o]) as f32
    };
    let w = if kind == Kind::Depthwise {
        (0..k * k).flat_map(|tap| (0..out_c).map(move |c| (tap, c))).map(|(tap, c)| at(c, 0, tap)).collect()
    } else {
        let padded = from_c.next_multiple_of(4);
        let mut w = vec![0.0; out_c * k * k * padded];
        for o in 0..out_c {
            for tap in 0..k * k {
                for i in 0..from_c {
                    w[(o * k * k + tap) * padded + i] = at(o, i, tap);
                }
            }
        }
        w
    };
    Folded { w, bias }
}
