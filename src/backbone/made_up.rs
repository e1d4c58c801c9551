//! Weights made of their names, for timings and tests where trained ones are not at hand.

use super::network::Network;
use super::weights::{WeightFile, expected};
use safetensors::{Dtype, tensor::TensorView};

fn fnv(text: &str) -> u32 {
    text.bytes().fold(2_166_136_261, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619))
}

/// Values of tensor `name`: weights keep the variance of what goes through a rectifier, batch norms are near
/// doing nothing. The formula of `tools/golden_resnet.py`.
pub fn made_up(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = fnv(name);
    let fan_in: usize = shape[1..].iter().product();
    let scale = (6.0 / fan_in as f64).sqrt();
    let kind = match name {
        _ if shape.len() == 4 => 0,
        _ if name.ends_with("running_var") => 1,
        _ if name.ends_with("weight") => 2,
        _ => 3,
    };
    (0..shape.iter().product::<usize>() as u32)
        .map(|i| {
            let mut h = seed.wrapping_add(i.wrapping_mul(2_654_435_769));
            h ^= h >> 16;
            h = h.wrapping_mul(2_246_822_507);
            h ^= h >> 13;
            h = h.wrapping_mul(3_266_489_909);
            h ^= h >> 16;
            let u = f64::from(h >> 8) / f64::from(1 << 24);
            (match kind {
                0 => (2.0 * u - 1.0) * scale,
                1 => 0.5 + u,
                2 => 0.5 + u / 2.0,
                _ => 0.4 * u - 0.2,
            }) as f32
        })
        .collect()
}

impl WeightFile {
    /// A file of all that `network` needs with [`made_up`] values: what it costs is that of trained weights,
    /// what it says of an image is nothing.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] where the tensors make no file.
    pub fn made_up(network: &Network) -> crate::Result<Self> {
        let origin = format!("<made up for {}>", network.name);
        let parts: Vec<_> = expected(network).into_iter().flat_map(|(_, parts)| parts).collect();
        let values: Vec<Vec<f32>> = parts.iter().map(|p| made_up(&p.name, &p.shape)).collect();
        let views: Result<Vec<_>, _> = parts
            .iter()
            .zip(&values)
            .map(|(p, v)| {
                TensorView::new(Dtype::F32, p.shape.clone(), bytemuck::cast_slice(v)).map(|t| (&p.name, t))
            })
            .collect();
        let bytes = views.and_then(|views| safetensors::serialize(views, None));
        let fail = |e| crate::Error::Weights { path: origin.clone().into(), reason: format!("{e}") };
        Ok(Self::from_bytes(bytes.map_err(fail)?, origin.clone()))
    }
}
