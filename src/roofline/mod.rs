//! How fast an adapter is, and how near each kernel comes to it.
//!
//! Probe kernels measure the arithmetic rates and the copy bandwidth of the adapter; then every kernel runs
//! on shapes of real use. A kernel's roof is what the probes allow at its number of operations per byte,
//! memory being touched once (Williams, Waterman, Patterson: Roofline, 2009). The shapes are those of
//! [`crate::cases`], every answer is checked.

mod probe;
pub mod tune;

pub use probe::{Roof, probe, shaders};

use crate::Result;
use crate::cases::Entry;
use crate::gpu::{Device, Plan};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Where a time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The adapter's timestamps around each dispatch.
    Gpu,
    /// The host's clock around a submission and the wait for it.
    Wall,
}

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gpu => "gpu",
            Self::Wall => "wall",
        })
    }
}

/// Median time of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Seconds.
    pub seconds: f64,
    /// Clock that said so.
    pub clock: Clock,
    /// Runs that it is the median of.
    pub runs: usize,
}

/// Time before the first run that counts: clocks of idle adapters are low.
const WARM_UP: Duration = Duration::from_millis(60);
/// A submission that counts is at least so long, in seconds: a dispatch that is alone in one is timed at an
/// idle card's clock.
const LONG: f64 = 10e-3;
/// Repeats in a submission at most.
const REPEATS: usize = 4096;
/// Submissions that count, and the time after which no more are begun.
const RUNS: usize = 9;
const BUDGET: Duration = Duration::from_secs(2);

/// Times `plan`, whose pipelines are built, the device kept busy: it is repeated within a submission until
/// that is long, and after a warm-up the median of several submissions counts.
///
/// # Errors
/// [`crate::Error::Lost`] where the device was lost.
pub fn time(device: &Device, plan: &Plan) -> Result<Timing> {
    let clock = clock(device);
    let repeats = repeats(device, clock, plan)?;
    let began = Instant::now();
    while began.elapsed() < WARM_UP {
        once(device, clock, plan, repeats)?;
    }
    let mut all = Vec::with_capacity(RUNS);
    let began = Instant::now();
    while all.len() < RUNS && (all.is_empty() || began.elapsed() < BUDGET) {
        all.push(once(device, clock, plan, repeats)?);
    }
    Ok(Timing { seconds: median(&mut all), clock, runs: all.len() })
}

/// The best clock that the device has.
fn clock(device: &Device) -> Clock {
    if device.caps().timestamps { Clock::Gpu } else { Clock::Wall }
}

/// How often `plan` fills a submission that is long enough.
fn repeats(device: &Device, clock: Clock, plan: &Plan) -> Result<usize> {
    let mut repeats = 1;
    loop {
        let seconds = once(device, clock, plan, repeats)? * repeats as f64;
        if seconds >= LONG || repeats == REPEATS {
            return Ok(repeats);
        }
        // What was timed ran at a low clock: no more than sixteen times as many at once, so that none gets
        // far too long.
        let more = (LONG / seconds.max(1e-7)).ceil().min(16.0) as usize;
        repeats = (repeats * more.max(2)).min(REPEATS);
    }
}

/// Seconds of one run of `plan` among `repeats` in a submission.
fn once(device: &Device, clock: Clock, plan: &Plan, repeats: usize) -> Result<f64> {
    let seconds = match clock {
        Clock::Gpu => plan.time(repeats)?,
        Clock::Wall => {
            let began = Instant::now();
            Plan::submit_all(&vec![plan; repeats])?;
            device.wait()?;
            began.elapsed().as_secs_f64()
        }
    };
    Ok(seconds / repeats as f64)
}

/// The middle one of `values`, of which there is at least one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What was measured of a case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Kernel family.
    pub kernel: &'static str,
    /// Sizes.
    pub shape: String,
    /// Shader with its flags and constants; several with a `,` between.
    pub variant: String,
    /// Times that the shape occurs in its network; 1 elsewhere.
    pub count: u32,
    /// Seconds of one run.
    pub seconds: f64,
    /// Clock that said so.
    pub clock: Clock,
    /// Runs that the time is the median of.
    pub runs: usize,
    /// Billions of floating-point operations per second.
    pub gflops: f64,
    /// Billions of bytes per second, every operand and result counted once.
    pub gbs: f64,
    /// Share of the measured peak rate of arithmetic.
    pub peak_share: f64,
    /// Share of the roof at this case's number of operations per byte.
    pub roof_share: f64,
    /// Largest difference from the reference.
    pub error: f64,
    /// Difference that rounding explains.
    pub tolerance: f64,
}

impl Row {
    /// Whether the answer is right.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Makes, runs, checks and times one case.
///
/// # Errors
/// What making, running or reading back says.
pub fn measure(device: &Device, roof: &Roof, entry: &Entry) -> Result<Row> {
    let case = entry.make(device)?;
    let verdict = case.run(device)?;
    let work = case.work(device)?;
    let timing = time(device, &case.plan)?;
    let peak = if case.coop() { roof.coop.unwrap_or(roof.f32) } else { roof.f32 };
    let (flops, bytes) = (work.flops / timing.seconds, work.bytes / timing.seconds);
    let bound = peak.min(work.flops / work.bytes * roof.bandwidth);
    Ok(Row {
        kernel: entry.kernel,
        shape: entry.shape.clone(),
        variant: case.kernels().join(", "),
        count: entry.count,
        seconds: timing.seconds,
        clock: timing.clock,
        runs: timing.runs,
        gflops: flops / 1e9,
        gbs: bytes / 1e9,
        peak_share: flops / peak,
        roof_share: if work.flops > 0.0 { flops / bound } else { bytes / roof.bandwidth },
        error: verdict.error,
        tolerance: verdict.allowed,
    })
}
