//! The table: which kernels on which shapes.

use super::layers::{End, conv, gemm, pool, resize};
use super::outlier::{Groups, floor, group, knn, lof, mahalanobis, nearest, others, quantile};
use super::tiles::tiles;
use super::{Case, Entry, Make, bank, patches};
use crate::Result;
use crate::backbone::embedding::embedding_dim;
use crate::backbone::network::Kind;
use crate::backbone::{Network, Patches, Precision};
use crate::gpu::Device;
use crate::settings::{Compat, Discriminator, FitOptions, Group, coreset_batch};
use crate::shapes::{Activation, ConvShape};
use crate::steps::coreset::{BATCHES, HELD};
use crate::steps::input::geometry::Framing;
use crate::steps::network::depthwise::run_length;

pub(super) const LAYERS: &str = "layers of the backbone";
const INPUT: &str = "every image that is read";
const EMBEDDING: &str = "embeddings of patches";
pub(super) const PROJECTION: &str = "projection, bounds of the search";
pub(super) const DENOISE: &str = "outlier scores of training patches";
pub(super) const SELECTION: &str = "choice of the memory bank";
pub(super) const SEARCH: &str = "scores of patches and images";
pub(super) const MAP: &str = "anomaly maps";
const PEERS: &str = "the methods SPADE and PaDiM of `bench`";

fn stored(f16: bool) -> &'static str {
    if f16 { ", f16" } else { "" }
}

/// A small shape of the layer: sizes that no tile divides, padding on all sides.
fn small_shape(kernel: u32, stride: u32, [in_c, out_c]: [u32; 2], side: u32) -> ConvShape {
    let pad = kernel / 2;
    let out = (side + 2 * pad - kernel) / stride + 1;
    ConvShape {
        batch: 2,
        in_h: side,
        in_w: side,
        in_c,
        out_c,
        kernel_h: kernel,
        kernel_w: kernel,
        stride,
        pad_top: pad as i32,
        pad_left: pad,
        out_h: out,
        out_w: out,
    }
}

/// What depends on a layer's pipeline: its kind, kernel, stride, and for depthwise ones the length of a run.
type LayerKey = (Kind, u32, u32, bool);

fn layer(all: &mut Vec<Entry>, device: &Device, (kind, kernel, stride, long): LayerKey, f16: bool) {
    let end = End { f16, residual: false, activation: Activation::Relu6 };
    let stored = stored(f16);
    match kind {
        // A plain product over pixels.
        Kind::Conv { .. } if (kernel, stride) == (1, 1) => {
            let end = End { residual: true, activation: Activation::Relu, ..end };
            let text = format!("1x1, 9x11x40->68{stored}");
            let shape = ConvShape { in_w: 11, out_w: 11, ..small_shape(1, 1, [40, 68], 9) };
            tiles(all, device, "conv", (&text, LAYERS), move |d| conv(d, shape, false, end));
        }
        Kind::Conv { .. } => {
            let end = End { residual: true, activation: Activation::Relu, ..end };
            // More than one step of every kernel's depth, and a last column of its own.
            let text = format!("{kernel}x{kernel} s{stride}, 13x13x20->68{stored}");
            let shape = small_shape(kernel, stride, [20, 68], 13);
            tiles(all, device, "conv", (&text, LAYERS), move |d| conv(d, shape, false, end));
        }
        Kind::Depthwise => {
            // Runs of 8 where they fit better than runs of 7, see the operation.
            let side = if long { 15 } else { 13 } * stride;
            let shape = small_shape(kernel, stride, [20, 20], side);
            let text = format!("{kernel}x{kernel} s{stride}, {side}x{side}x20{stored}");
            all.push(Entry::new("depthwise", text, LAYERS, move |d| conv(d, shape, true, end)));
        }
        Kind::MaxPool => {
            let shape = small_shape(kernel, stride, [20, 20], 13);
            let text = format!("{kernel}x{kernel} s{stride}, 13x13x20{stored}");
            all.push(Entry::new("pool", text, LAYERS, move |d| pool(d, shape, f16)));
        }
    }
}

fn embedding(all: &mut Vec<Entry>, pooled: bool, f16: bool) {
    let stored = stored(f16);
    let mut push = |kernel, text: String, make: Make| {
        all.push(Entry::new(kernel, text, EMBEDDING, make));
    };
    if pooled {
        let make = move |d: &Device| patches::pooled(d, [7, 9, 40], 3, 100, f16);
        push("pooled", format!("3x3, 7x9x40->100{stored}"), Box::new(make));
        let make = |d: &Device| patches::pooled(d, [5, 5, 200], 1, 100, false);
        push("pooled", "5x5x200->100".into(), Box::new(make));
    } else {
        push("patch", format!("7x9x40{stored}"), Box::new(move |d| patches::patch(d, [7, 9, 40], f16)));
    }
    let make = |d: &Device| patches::resample(d, [5, 7, 20], [11, 14]);
    push("resample", "5x7x20->11x14".into(), Box::new(make));
}

fn input(all: &mut Vec<Entry>, f16: bool) {
    let text = format!("50x37 -> 32, crop 28{}", stored(f16));
    all.push(Entry::new("resize", text, INPUT, move |d| resize(d, [50, 37], Framing::middle(32, 28), f16)));
}

/// Products in f32 beside the backbone.
fn projection(all: &mut Vec<Entry>, device: &Device) {
    let size = [67, 152, 68];
    tiles(all, device, "gemm", ("67x152x68", PROJECTION), move |d| gemm(d, size, End::plain(false)));
}

fn denoise(all: &mut Vec<Entry>, discriminator: Discriminator, [n, r, k]: [usize; 3]) {
    let sizes = Groups { groups: 3, n, r, k };
    let rows = format!("3 groups of {n}x{r}");
    let mut push = |kernel: &'static str, make: fn(&Device, Groups) -> Result<Case>| {
        // Groups of rows know nothing of neighbours.
        let text = if kernel.starts_with("group") { rows.clone() } else { sizes.to_string() };
        all.push(Entry::new(kernel, text, DENOISE, move |d| make(d, sizes)));
    };
    match discriminator {
        Discriminator::Lof | Discriminator::Auto => push("lof", lof),
        Discriminator::Nearest => push("nearest", nearest),
        Discriminator::Gaussian => {
            push("group_centre", |d, s| group(d, s, true));
            push("mahalanobis", |d, s| mahalanobis(d, s, false));
        }
        Discriminator::None => {}
    }
    push("group_gather", |d, s| group(d, s, false));
    if discriminator.drops() {
        all.push(Entry::new("quantile", "85 % of 5 000", DENOISE, |d| quantile(d, 5000, 0.85)));
    }
}

/// Floors of bank rows of `dim` values.
fn floor_case(all: &mut Vec<Entry>, dim: usize) {
    all.push(Entry::new("floor", format!("67 rows of {dim}"), DENOISE, move |d| floor(d, [67, dim])));
}

/// Neighbours in other images, and factors of what are then the rows of one group.
fn others_case(all: &mut Vec<Entry>, [images, r, k]: [usize; 3], window: bool) {
    let text = format!("{images} images of 2x3x{r}, {}, k {k}", if window { "windows" } else { "all" });
    all.push(Entry::new("others", text, DENOISE, move |d| others(d, [images, r, k], window)));
}

fn selection(all: &mut Vec<Entry>, r: usize, batch: u32, official: bool) {
    // More patches than a batch has candidates, so that there are several batches.
    let (rows, picks) = (1000.max(2 * batch as usize), 80);
    let text =
        format!("{picks} of {rows} x {r}, {batch} at once{}", if official { ", official" } else { "" });
    let make = move |d: &Device| bank::coreset(d, [rows, r, picks], Some(batch), official);
    all.push(Entry::new("coreset", text, SELECTION, make));
}

/// The search, with the image's own rows left out or not.
fn search(all: &mut Vec<Entry>, dim: usize, skip: bool) {
    let text = format!("37 in 600 x {dim}{}", if skip { ", own rows left out" } else { "" });
    all.push(Entry::new("neighbor", text, SEARCH, move |d| bank::neighbor(d, [37, 600, dim], skip)));
}

fn map(all: &mut Vec<Entry>) {
    let make = |d: &Device| bank::anomaly_map(d, [5, 7], [40, 56], 2);
    all.push(Entry::new("anomaly_map", "5x7 -> 40x56", MAP, make));
}

fn gathering(all: &mut Vec<Entry>) {
    all.push(Entry::new("gather", "67 rows of 152", SELECTION, |d| patches::gather_rows(d, 67, 152)));
}

fn peers(all: &mut Vec<Entry>) {
    all.push(Entry::new("image_mean", "3x67x20", PEERS, |d| patches::mean(d, [3, 67, 20])));
    all.push(Entry::new("image_distance", "5x7x20", PEERS, |d| patches::distance(d, [5, 7, 20])));
    let sizes = Groups { groups: 3, n: 67, r: 20, k: 1 };
    let make = move |d: &Device| mahalanobis(d, sizes, true);
    all.push(Entry::new("mahalanobis", format!("{sizes}, other rows"), PEERS, make));
}

/// Every kernel in every variant that the method can choose on `device`, at small shapes.
pub fn small(device: &Device) -> Vec<Entry> {
    let mut all = Vec::new();
    for f16 in [false, true] {
        input(&mut all, f16);
        let conv = |kernel, stride| (Kind::Conv { out_c: 0 }, kernel, stride, false);
        for key in [conv(1, 1), conv(1, 2), conv(3, 1), conv(3, 2), conv(7, 2)] {
            layer(&mut all, device, key, f16);
        }
        for (kernel, stride, long) in
            [(3, 1, false), (3, 2, false), (5, 1, false), (5, 2, false), (3, 1, true), (5, 1, true)]
        {
            if !long || run_length(15, device.caps().archetype) != run_length(13, device.caps().archetype) {
                layer(&mut all, device, (Kind::Depthwise, kernel, stride, long), f16);
            }
        }
        layer(&mut all, device, (Kind::MaxPool, 3, 2, false), f16);
        for pooled in [false, true] {
            embedding(&mut all, pooled, f16);
        }
    }
    projection(&mut all, device);
    let groups = Groups { groups: 3, n: 67, r: 20, k: 9 };
    all.push(Entry::new("knn", groups.to_string(), DENOISE, move |d| knn(d, groups)));
    for discriminator in [Discriminator::Lof, Discriminator::Nearest, Discriminator::Gaussian] {
        denoise(&mut all, discriminator, [67, 36, if discriminator == Discriminator::Lof { 6 } else { 1 }]);
    }
    others_case(&mut all, [67, 36, 6], true);
    others_case(&mut all, [67, 20, 9], false);
    floor_case(&mut all, 36);
    // Whole steps of the update, and a tail.
    for (r, batch) in [(128, 512), (36, 64)] {
        selection(&mut all, r, batch, false);
    }
    selection(&mut all, 128, 512, true);
    gathering(&mut all);
    for dim in [152, 36] {
        search(&mut all, dim, dim == 36);
    }
    map(&mut all);
    peers(&mut all);
    // Discriminators share the gathering and the quantile.
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|entry| seen.insert(entry.id()));
    all
}

/// What is going to be done on a device, as far as pipelines depend on it.
pub(crate) struct Use<'a> {
    /// Backbone.
    pub network: &'a Network,
    /// Rows and columns of its input.
    pub size: [u32; 2],
    /// How stages become embeddings.
    pub patches: Patches,
    /// How it is stored.
    pub precision: Precision,
    /// Values of an embedding.
    pub dim: u32,
    /// What is done with embeddings.
    pub then: Then<'a>,
}

impl<'a> Use<'a> {
    /// A backbone as `options` have it, for inputs of `size` rows and columns.
    ///
    /// # Errors
    /// [`crate::Error::InvalidOption`] where the input is too small for the network.
    pub fn new(network: &'a Network, options: &FitOptions, size: [u32; 2], then: Then<'a>) -> Result<Self> {
        let patches = options.patches(&network.name);
        let dim = embedding_dim(network, &network.sizes(size[0], size[1])?, patches);
        Ok(Self { network, size, patches, precision: options.precision, dim, then })
    }
}

/// What is done with embeddings.
#[derive(Clone, Copy)]
pub(crate) enum Then<'a> {
    /// They are scored.
    Score,
    /// A model is fitted to those of so many images, and calibrated.
    Fit(&'a FitOptions, usize),
    /// Methods are compared on those of so many images.
    Bench(&'a FitOptions, usize),
}

/// The cases of the kernels that `what` is going to use, at small shapes with its own constants, so that the
/// pipelines that are built for them are those that are needed anyway.
///
/// # Errors
/// [`crate::Error::InvalidOption`] where the input is too small for the network.
pub(crate) fn of_use(device: &Device, what: &Use<'_>) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    let f16 = what.precision == Precision::F16;
    input(&mut all, f16);
    let sizes = what.network.sizes(what.size[0], what.size[1])?;
    let mut keys: Vec<LayerKey> = Vec::new();
    let archetype = device.caps().archetype;
    for (i, of) in what.network.layers.iter().enumerate() {
        // Output channels and padding make no other pipeline.
        let kind = if matches!(of.kind, Kind::Conv { .. }) { Kind::Conv { out_c: 0 } } else { of.kind };
        let run = |width| run_length(width, archetype);
        let long = kind == Kind::Depthwise && run(sizes[i + 1][1]) != run(13);
        let key = (kind, of.kernel, of.stride, long);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    // The stride of a convolution is a parameter: only whether it is a plain product tells pipelines apart.
    let plain = |key: &LayerKey| (key.1, key.2) == (1, 1);
    let mut convolutions = [false; 2];
    for key in keys {
        if matches!(key.0, Kind::Conv { .. })
            && std::mem::replace(&mut convolutions[usize::from(plain(&key))], true)
        {
            continue;
        }
        layer(&mut all, device, key, f16);
    }
    embedding(&mut all, matches!(what.patches, Patches::Pooled { .. }), f16);
    projection(&mut all, device);
    let dim = what.dim as usize;
    match what.then {
        Then::Score => {}
        Then::Fit(options, images) => {
            discriminate(&mut all, options.discriminator, options, [images, dim]);
            let r = dim.min(options.projection as usize);
            // With fewer patches than the pictures have (a region, padding, shards) batches are smaller.
            let most = batch(device, what, options, images).max(HELD as u32);
            for batch in BATCHES.into_iter().filter(|batch| *batch <= most) {
                selection(&mut all, r, batch, options.compat == Compat::Official);
            }
            gathering(&mut all);
            search(&mut all, dim, true);
        }
        Then::Bench(options, images) => {
            for discriminator in [Discriminator::Auto, Discriminator::Nearest, Discriminator::Gaussian] {
                discriminate(&mut all, discriminator, options, [images, dim]);
            }
            let r = dim.min(options.projection as usize);
            // What is left of the memory for a cell decides, and the number of its images.
            for batch in BATCHES {
                selection(&mut all, r, batch, options.compat == Compat::Official);
            }
            gathering(&mut all);
            search(&mut all, dim, true);
            peers(&mut all);
        }
    }
    search(&mut all, dim, false);
    map(&mut all);
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|entry| seen.insert(entry.id()));
    Ok(all)
}

/// The cases of a discriminator for `[images, dim]`: only `k` decides the pipeline, and only where there are
/// few images are its lists shorter.
fn discriminate(
    all: &mut Vec<Entry>,
    discriminator: Discriminator,
    options: &FitOptions,
    [images, dim]: [usize; 2],
) {
    let k = if discriminator.is_lof() { options.lof_k as usize } else { 1 };
    if discriminator != Discriminator::None && images > 1 {
        let n = if images > k { 67.max(k + 1) } else { images };
        let r = dim.min(options.projection as usize);
        denoise(all, discriminator, [n, r, k.min(n - 1)]);
        if options.group != Group::Position && discriminator != Discriminator::Gaussian {
            others_case(all, [67, r, k], options.group == Group::Window);
        }
        if discriminator == Discriminator::Auto {
            others_case(all, [67, r, 1], false);
            floor_case(all, dim);
        }
    }
}

/// Candidates a batch of the coreset, as the fit will choose them.
fn batch(device: &Device, what: &Use<'_>, options: &FitOptions, images: usize) -> u32 {
    let dim = what.dim as usize;
    let sizes = what.network.sizes(what.size[0], what.size[1]);
    let first = sizes.ok().and_then(|s| what.network.taps.first().map(|tap| s[tap.value]));
    let positions = first.map_or(1, |[h, w, _]| h as usize * w as usize);
    // A bench has its embeddings already.
    let needs = match what.then {
        Then::Fit(..) => {
            options.extraction(&what.network.name, what.size).needs(what.network, device.caps().max_binding)
        }
        _ => Ok((0, 0)),
    };
    coreset_batch(device, options, [images, positions, dim], needs.unwrap_or_default())
}
