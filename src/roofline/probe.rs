//! The adapter's own rates.

use super::time;
use crate::gpu::{Device, Plan, Recorder, Shader, Tensor, shader};
use crate::{Error, Result};
use serde::Serialize;

static ARITHMETIC: Shader = shader!("device/probe", entry: "arithmetic", variants: [[], ["F16"]]);
static COPY: Shader = shader!("device/probe", entry: "copy");
static PROBE_COOP: Shader = shader!("device/probe_coop", shared: ["fragments"], variants: [[], ["EIGHT"]]);

/// The kernels of this folder.
pub fn shaders() -> Vec<&'static Shader> {
    vec![&ARITHMETIC, &COPY, &PROBE_COOP]
}

/// What an adapter can do at most, as the probe kernels found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Roof {
    /// Floating-point operations per second in f32, a multiply-add being two.
    pub f32: f64,
    /// The same in f16, where the adapter has it.
    pub f16: Option<f64>,
    /// The same of cooperative matrices with f32 sums.
    pub coop: Option<f64>,
    /// Bytes per second of a copy, read and written ones added.
    pub bandwidth: f64,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    n: u32,
    rounds: u32,
}

/// A probe runs at least so long, in seconds.
const LONG: f64 = 4e-3;
/// More rounds than that would round visibly where sums grow.
const MOST: u32 = 1 << 16;
/// Invocations of the arithmetic probes: more than any adapter holds at once.
const INVOCATIONS: u32 = 1 << 20;

/// Measures the adapter.
///
/// # Errors
/// [`Error::Device`] where a probe leaves wrong values: the driver did not do the work that would be timed.
pub fn probe(device: &Device) -> Result<Roof> {
    let caps = device.caps();
    Ok(Roof {
        f32: arithmetic(device, &[])?,
        f16: caps.f16.then(|| arithmetic(device, &["F16"])).transpose()?,
        coop: match caps.coop {
            Some(coop) if !coop.emulated => Some(cooperative(device, coop.side, coop.lanes)?),
            _ => None,
        },
        bandwidth: copy(device)?,
    })
}

/// Raises the rounds until a run is long, and returns the rounds and seconds of that.
fn long_enough(device: &Device, plan: impl Fn(u32) -> Result<Plan>) -> Result<(u32, f64)> {
    let mut rounds = 16;
    loop {
        let seconds = time(device, &plan(rounds)?)?.seconds;
        if seconds >= LONG || rounds >= MOST {
            return Ok((rounds, seconds));
        }
        rounds = (rounds * ((2.0 * LONG / seconds.max(1e-6)) as u32).clamp(2, 64)).min(MOST);
    }
}

/// Whether `got` is not near `want`; a NaN never is.
fn far(got: f64, want: f64, by: f64) -> bool {
    (got - want).is_nan() || (got - want).abs() > by
}

fn wrong(what: &str, got: f32, want: f32) -> Error {
    Error::Device(format!("the probe {what} left {got} instead of {want}; update the driver"))
}

fn arithmetic(device: &Device, flags: &[&str]) -> Result<f64> {
    let cpu = device.caps().archetype == crate::gpu::Archetype::Direct;
    let n = if cpu { INVOCATIONS >> 8 } else { INVOCATIONS };
    // a = a / 2 + 1/4 leads every chain to 1/2.
    let x = device.upload(&[[0.5_f32; 4], [0.25; 4], [0.125; 4]], "probe")?;
    let c = device.alloc(4 * n as usize, "probe")?;
    let kernel = device.kernel(&ARITHMETIC, &[], flags)?;
    let plan = |rounds| {
        let mut recorder = Recorder::new(device);
        let grid = crate::gpu::grid_1d(n.div_ceil(256), device.caps().max_groups);
        recorder.dispatch(&kernel, "", &[&x, &c], &Params { n, rounds }, grid)?;
        recorder.finish()
    };
    let (rounds, seconds) = long_enough(device, plan)?;
    let (got, want) = (device.read::<f32>(&c)?, 4.0);
    if let Some(&bad) = got.iter().find(|v| far(f64::from(**v), f64::from(want), 0.01)) {
        return Err(wrong("of arithmetic", bad, want));
    }
    Ok(128.0 * f64::from(n) * f64::from(rounds) / seconds)
}

fn cooperative(device: &Device, side: u32, lanes: u32) -> Result<f64> {
    let (groups, subgroups) = (4096_u32, 4_u32);
    let size = (side * side) as usize;
    // Every product of fragments adds `side` squares of this to every sum: about 1 / side^2.
    let value = (side as f32).powf(-1.5);
    let x = device.upload(&vec![value; size], "probe")?;
    let c = device.alloc((groups * subgroups) as usize * 8 * size, "probe")?;
    let flags: &[&str] = if side == 8 { &["EIGHT"] } else { &[] };
    let kernel = device.kernel(&PROBE_COOP, &[("LANES", lanes)], flags)?;
    let plan = |rounds| {
        let mut recorder = Recorder::new(device);
        let params = Params { n: groups, rounds };
        recorder.dispatch(&kernel, "", &[&x, &c], &params, [groups, 1, 1])?;
        recorder.finish()
    };
    let (rounds, seconds) = long_enough(device, plan)?;
    let got: Vec<f32> = device.read(&c)?;
    let factor = f64::from(half::f16::from_f32(value));
    let product = factor * factor * f64::from(side);
    for (i, &got) in got.iter().enumerate() {
        let [at, sum, subgroup] = [i % size, i / size % 8, i / size / 8 % subgroups as usize];
        let want = (at + subgroup) as f64 + (f64::from(rounds) + sum as f64) * product;
        if far(f64::from(got), want, 0.05 * want + 0.01) {
            return Err(wrong("of cooperative matrices", got, want as f32));
        }
    }
    Ok(16.0 * f64::from(side).powi(3) * f64::from(rounds) * f64::from(groups * subgroups) / seconds)
}

fn copy(device: &Device) -> Result<f64> {
    // Larger than any cache of a GPU.
    let bytes = if device.caps().archetype == crate::gpu::Archetype::Direct { 64 << 20 } else { 512 << 20 };
    let n = (bytes.min(device.caps().max_binding) / 16) as u32;
    let (x, c): (Tensor, Tensor) =
        (device.alloc(4 * n as usize, "from")?, device.alloc(4 * n as usize, "to")?);
    device.write(&x, 4 * (n as usize - 1), &[1.0_f32, 2.0, 3.0, 4.0]);
    let kernel = device.kernel(&COPY, &[], &[])?;
    let mut recorder = Recorder::new(device);
    let grid = crate::gpu::grid_1d(n.div_ceil(256), device.caps().max_groups);
    recorder.dispatch(&kernel, "", &[&x, &c], &Params { n, rounds: 0 }, grid)?;
    let plan = recorder.finish()?;
    let seconds = time(device, &plan)?.seconds;
    let got: Vec<f32> = device.read(&c)?;
    if got[got.len() - 4..] != [1.0, 2.0, 3.0, 4.0] {
        return Err(wrong("of copying", got[got.len() - 1], 4.0));
    }
    Ok(32.0 * f64::from(n) / seconds)
}
