//! Products and convolutions in tiles of every size have the same bits.

use crate::common::{noise, second_pass, turn};
use crate::precision::{half_devices, rounded, run, shape, tilings};
use softpatch::low_level::gpu::{Archetype, Device};
use softpatch::low_level::shapes::Activation;
use softpatch::low_level::steps::network::conv::Conv;
use softpatch::low_level::steps::network::gemm::Gemm;
use std::collections::BTreeMap;

/// An image alone takes other tiles than in a batch, and scores the same in every bit.
#[test]
fn tiles_of_every_size_give_the_same_bits() {
    let _turn = turn();
    let conv = shape([13, 9, 40], 136, 3, 1);
    let (m, k, n) = (150, 52, 140);
    let (x, w) = (rounded(1, m * k), rounded(2, n * k));
    let (cx, cw) = (rounded(3, conv.input_len()), rounded(4, 9 * 40 * 136));
    let bits = |device: &Device, half: bool| {
        let up = |v: &[f32]| if half { device.upload_f16(v, "t") } else { device.upload(v, "t") }.unwrap();
        let new =
            |len: usize| if half { device.alloc_f16(len, "c") } else { device.alloc(len, "c") }.unwrap();
        let (tx, tw, tcx, tcw) = (up(&x), up(&w), up(&cx), up(&cw));
        let bias = device.upload(&noise(5, 140, 0.0, 1.0), "bias").unwrap();
        let (c, d) = (new(m * n), new(conv.output_len()));
        let activation = Activation::Relu;
        run(device, |r| {
            let (m, k, n) = (m as u32, k as u32, n as u32);
            Gemm { x: &tx, w: &tw, bias: &bias, residual: None, c: &c, m, k, n, activation }.record(r)?;
            let (x, w, c) = (&tcx, &tcw, &d);
            Conv { x, w, bias: &bias, residual: None, c, shape: conv, activation }.record(r)
        });
        [device.read_values(&c).unwrap(), device.read_values(&d).unwrap()].concat()
    };
    let mut first: BTreeMap<String, (String, Vec<f32>)> = BTreeMap::new();
    let f32_tiles = tilings().iter().map(|named| (named, false));
    for ((name, device), half) in f32_tiles.chain(half_devices().iter().map(|named| (named, true))) {
        if device.caps().archetype != Archetype::Tiled {
            continue;
        }
        let got = bits(device, half);
        let kind = format!("{:?}, f16 {half}", device.caps().coop);
        let (other, want) = first.entry(kind).or_insert_with(|| (name.clone(), got.clone()));
        assert!(got == *want, "{name} and {other} differ");
    }
    // In the second pass there are no such devices.
    assert!(second_pass() || first.len() >= 2);
}
