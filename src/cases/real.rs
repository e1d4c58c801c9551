//! The kernels on shapes of real use.

use super::layers::{End, conv, gemm, pool};
use super::outlier::{Groups, knn, mahalanobis};
use super::table::{DENOISE, LAYERS, MAP, PROJECTION, SEARCH, SELECTION};
use super::{Case, Entry, bank};
use crate::Result;
use crate::backbone::Network;
use crate::backbone::network::Kind;
use crate::gpu::Device;
use crate::shapes::ConvShape;

/// How large the shapes of real use are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Images a batch.
    pub batch: u32,
    /// The sizes that only a GPU does in reasonable time, too.
    pub large: bool,
}

/// Matrix products at shapes of real use: squares, and the projections of embeddings.
pub fn products(scale: Scale, f16: bool) -> Vec<Entry> {
    let rows = 784 * scale.batch as usize;
    let mut sizes = vec![[1024; 3]];
    if scale.large {
        sizes.push([4096; 3]);
    }
    if !f16 {
        sizes.extend([[rows, 152, 128], [rows, 1024, 128]]);
    }
    products_of(&sizes, f16)
}

/// Matrix products of the sizes `[m, k, n]`.
pub fn products_of(sizes: &[[usize; 3]], f16: bool) -> Vec<Entry> {
    let entry = |&[m, k, n]: &[usize; 3]| {
        let used_by = if k == n { LAYERS } else { PROJECTION };
        Entry::new("gemm", format!("{m}x{k}x{n}"), used_by, move |d| gemm(d, [m, k, n], End::plain(f16)))
    };
    sizes.iter().map(entry).collect()
}

/// The layers of `network` on images of 224 x 224, equal ones once, with their numbers.
///
/// # Errors
/// [`crate::Error::InvalidOption`] where the network does not take such images.
pub fn network(network: &Network, scale: Scale, f16: bool) -> Result<Vec<Entry>> {
    let sizes = network.sizes(224, 224)?;
    let mut shapes: Vec<(ConvShape, Kind, End, u32)> = Vec::new();
    for (i, layer) in network.layers.iter().enumerate() {
        let shape = network.conv_shape(i, &sizes, scale.batch);
        let kind = if matches!(layer.kind, Kind::Conv { .. }) { Kind::Conv { out_c: 0 } } else { layer.kind };
        let end = End { f16, residual: layer.residual.is_some(), activation: layer.activation };
        match shapes.iter_mut().find(|(s, k, e, _)| (*s, *k, *e) == (shape, kind, end)) {
            Some((.., count)) => *count += 1,
            None => shapes.push((shape, kind, end, 1)),
        }
    }
    let entry = |(s, kind, end, count): (ConvShape, Kind, End, u32)| {
        let text = format!(
            "{}x{} s{} {}x{}x{}->{}x{}x{} b{}{}",
            s.kernel_h,
            s.kernel_w,
            s.stride,
            s.in_h,
            s.in_w,
            s.in_c,
            s.out_h,
            s.out_w,
            s.out_c,
            s.batch,
            if end.residual { " +" } else { "" }
        );
        let entry = match kind {
            Kind::MaxPool => Entry::new("pool", text, LAYERS, move |d| pool(d, s, end.f16)),
            Kind::Depthwise => Entry::new("depthwise", text, LAYERS, move |d| conv(d, s, true, end)),
            Kind::Conv { .. } => Entry::new("conv", text, LAYERS, move |d| conv(d, s, false, end)),
        };
        Entry { count, ..entry }
    };
    Ok(shapes.into_iter().map(entry).collect())
}

/// The kernels of the method at shapes of real use.
pub fn method(scale: Scale) -> Vec<Entry> {
    let batch = scale.batch as usize;
    let groups = |groups| Groups { groups, n: 209, r: 128, k: 6 };
    let of = |kernel, sizes: Groups, make: fn(&Device, Groups) -> Result<Case>| {
        Entry::new(kernel, sizes.to_string(), DENOISE, move |d| make(d, sizes))
    };
    let coreset = |[rows, r, picks]: [usize; 3]| {
        let text = format!("{picks} of {rows}x{r}");
        Entry::new("coreset", text, SELECTION, move |d| bank::coreset(d, [rows, r, picks], None, false))
    };
    let neighbor = |[q, m, d]: [usize; 3]| {
        let text = format!("{q} in {m}x{d}");
        Entry::new("neighbor", text, SEARCH, move |device| bank::neighbor(device, [q, m, d], false))
    };
    let some = if scale.large { 784 } else { 16 };
    let mut all = vec![
        of("knn", groups(some), knn),
        of("mahalanobis", groups(some), |d, s| mahalanobis(d, s, false)),
        coreset([4096, 128, 400]),
        neighbor([784 * batch.min(8), 16_385, 152]),
    ];
    if scale.large {
        all.push(coreset([31_360, 128, 3136]));
        all.push(neighbor([784 * batch, 30_000, 1024]));
    }
    let text = format!("28x28->224x224 b{batch}");
    let make = move |d: &Device| bank::anomaly_map(d, [28, 28], [224, 224], batch);
    all.push(Entry::new("anomaly_map", text, MAP, make));
    all
}
