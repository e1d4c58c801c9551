//! One table of kernel cases: a kernel on a shape, with its work and the answer it must give.
//!
//! Whoever runs kernels by themselves walks it: the self-test before a device's first use and `softpatch
//! doctor` at small shapes ([`small`]), `softpatch roofline`, `softpatch tune` and the benches at shapes of
//! real use ([`products`], [`network`], [`method`]), the tests of the kernels at both. Every answer is
//! checked against [`mod@crate::reference`]; where there are many values, on a spread sample of them.

mod bank;
mod layers;
mod outlier;
mod patches;
mod real;
mod rounding;
mod self_test;
mod table;
mod tiles;
mod values;

pub use real::{Scale, method, network, products, products_of};
pub use self_test::remedy;
pub(crate) use self_test::self_test;
pub use table::small;
pub(crate) use table::{Then, Use, of_use};

use crate::Result;
use crate::gpu::{Device, Plan, Recorder};

/// What a case does.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Floating-point operations, a multiply-add being two.
    pub flops: f64,
    /// Bytes of all operands and results, each counted once.
    pub bytes: f64,
}

/// How an answer compares with the reference, where it is worst for what rounding explains there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Difference.
    pub error: f64,
    /// Difference that rounding explains.
    pub allowed: f64,
}

impl Verdict {
    /// Whether the answer is right.
    pub fn passed(&self) -> bool {
        // A NaN on either side is not.
        self.error <= self.allowed
    }
}

type Check = Box<dyn Fn(&Device) -> Result<Verdict>>;
type Count = Box<dyn Fn(&Device) -> Result<Work>>;
type Make = Box<dyn Fn(&Device) -> Result<Case>>;

/// A kernel on a shape, recorded and ready to run any number of times.
pub struct Case {
    /// The work.
    pub plan: Plan,
    check: Check,
    work: Count,
}

impl Case {
    /// Records a case; `check` reads the answer of the last run.
    fn new(
        device: &Device,
        record: impl FnOnce(&mut Recorder) -> Result<()>,
        check: impl Fn(&Device) -> Result<Verdict> + 'static,
        work: Work,
    ) -> Result<Self> {
        let mut recorder = Recorder::new(device);
        record(&mut recorder)?;
        let plan = recorder.finish()?;
        Ok(Self { plan, check: Box::new(check), work: Box::new(move |_| Ok(work)) })
    }

    /// The same with work that only a run tells.
    fn counted(self, work: impl Fn(&Device) -> Result<Work> + 'static) -> Self {
        Self { work: Box::new(work), ..self }
    }

    /// Runs the case and checks its answer.
    ///
    /// # Errors
    /// [`crate::Error::Lost`] where the device was lost or refuses the work.
    pub fn run(&self, device: &Device) -> Result<Verdict> {
        self.plan.submit()?;
        (self.check)(device)
    }

    /// Operations and bytes of the last run.
    ///
    /// # Errors
    /// What reading back says: some kernels count their work.
    pub fn work(&self, device: &Device) -> Result<Work> {
        (self.work)(device)
    }

    /// Pipelines in use, each once: `file:entry+FLAG CONST=value`.
    pub fn kernels(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for label in self.plan.labels() {
            // Shader and flags, then constants; what follows is the shape.
            let mut words = label.split(' ');
            let name = words.next().unwrap_or_default();
            let constants = words.take_while(|w| w.contains('='));
            let kernel = std::iter::once(name).chain(constants).collect::<Vec<_>>().join(" ");
            if !all.contains(&kernel) {
                all.push(kernel);
            }
        }
        all
    }

    /// Whether cooperative matrices do the work.
    pub(crate) fn coop(&self) -> bool {
        self.plan.labels().any(|l| l.starts_with("network/gemm_coop"))
    }
}

/// A case that has not been made yet: its operands are made and its pipelines built when they are needed.
pub struct Entry {
    /// Kernel family.
    pub kernel: &'static str,
    /// Sizes and variant.
    pub shape: String,
    /// What of the method stands on it.
    pub used_by: &'static str,
    /// Times that it occurs in its network; 1 elsewhere.
    pub count: u32,
    make: Make,
}

impl Entry {
    fn new(
        kernel: &'static str,
        shape: impl Into<String>,
        used_by: &'static str,
        make: impl Fn(&Device) -> Result<Case> + 'static,
    ) -> Self {
        Self { kernel, shape: shape.into(), used_by, count: 1, make: Box::new(make) }
    }

    /// Makes operands and records the work for `device`.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] where the device is too small for the shape, [`crate::Error::Device`] where it
    /// refuses a kernel.
    pub fn make(&self, device: &Device) -> Result<Case> {
        (self.make)(device)
    }

    /// Makes, runs and checks the case.
    ///
    /// # Errors
    /// As [`Entry::make`] and [`Case::run`].
    pub fn check(&self, device: &Device) -> Result<Verdict> {
        self.make(device)?.run(device)
    }

    /// What tells it from every other entry.
    pub fn id(&self) -> String {
        format!("{} {}", self.kernel, self.shape)
    }
}
