//! Weight files: safetensors in f32, f16 or bf16, batch norm folded while loading.

use super::network::{Kind, Layer, Network};
use crate::{Error, Result};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

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

    /// All layers of `network`, folded; layers without weights are `None`.
    ///
    /// # Errors
    /// [`Error::Weights`] that lists every tensor that is missing or has another shape.
    pub fn fold(&self, network: &Network) -> Result<Vec<Option<Folded>>> {
        let file = SafeTensors::deserialize(&self.bytes).map_err(|e| {
            self.fail(format!("not a safetensors file ({e}); convert with tools/ if it is a .pth"))
        })?;
        let mut problems = Vec::new();
        let mut channels = vec![3];
        let mut folded = Vec::new();
        for layer in &network.layers {
            let in_c = channels[layer.input];
            channels.push(match layer.kind {
                Kind::Conv { out_c } => out_c as usize,
                Kind::Depthwise | Kind::MaxPool => in_c,
            });
            folded.push(match layer.kind {
                Kind::MaxPool => None,
                _ => Some(fold_layer(&file, layer, in_c, network.eps, &mut problems)),
            });
        }
        if problems.is_empty() {
            return Ok(folded);
        }
        let (count, shown) =
            (problems.len(), problems.iter().take(8).cloned().collect::<Vec<_>>().join("; "));
        let rest = if count > 8 { format!("; and {} more", count - 8) } else { String::new() };
        Err(self.fail(format!("these are not weights of {}: {shown}{rest}", network.name)))
    }
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

fn fold_layer(
    file: &SafeTensors<'_>,
    layer: &Layer,
    in_c: usize,
    eps: f64,
    problems: &mut Vec<String>,
) -> Folded {
    let k = layer.kernel as usize;
    let (out_c, from_c) = match layer.kind {
        Kind::Conv { out_c } => (out_c as usize, in_c),
        Kind::Depthwise | Kind::MaxPool => (in_c, 1),
    };
    let mut get = |name: String, shape: &[usize]| -> Vec<f32> {
        let empty = || vec![0.0; shape.iter().product()];
        let Ok(view) = file.tensor(&name) else {
            problems.push(format!("{name} is missing"));
            return empty();
        };
        if view.shape() != shape {
            problems.push(format!("{name} is {:?}, not {shape:?}", view.shape()));
            return empty();
        }
        values(&view).unwrap_or_else(|| {
            problems.push(format!("{name} is {:?}, not f32, f16 or bf16", view.dtype()));
            empty()
        })
    };
    let weight = get(layer.weight.clone(), &[out_c, from_c, k, k]);
    let mut norm = |part: &str| get(format!("{}.{part}", layer.norm), &[out_c]);
    let (gamma, beta) = (norm("weight"), norm("bias"));
    let (mean, var) = (norm("running_mean"), norm("running_var"));
    let scale: Vec<f64> =
        gamma.iter().zip(&var).map(|(g, v)| f64::from(*g) / (f64::from(*v) + eps).sqrt()).collect();
    let bias = (0..out_c).map(|o| (f64::from(beta[o]) - f64::from(mean[o]) * scale[o]) as f32).collect();
    let at = |o: usize, i: usize, tap: usize| {
        (f64::from(weight[(o * from_c + i) * k * k + tap]) * scale[o]) as f32
    };
    let w = if layer.kind == Kind::Depthwise {
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
