//! Going on where a device was lost or has too little memory: nothing but time and memory differs then.

use super::Progress;
use crate::gpu::Device;
use crate::settings::FitOptions;
use crate::{Error, Result};

/// Least bytes of a budget that is halved: whatever needs more says so itself.
const LEAST: u64 = 32 << 20;

/// What a device is asked for at a time. No result depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Images.
    pub batch: u32,
    /// Bytes of what can be made smaller.
    pub memory: u64,
}

impl Share {
    /// What these settings ask for.
    pub fn of(options: &FitOptions) -> Self {
        Self { batch: options.batch, memory: options.memory }
    }

    /// Half of it; `None` where it is as little as it can be.
    fn halved(self) -> Option<Self> {
        let half =
            Self { batch: (self.batch / 2).max(1), memory: (self.memory / 2).max(LEAST.min(self.memory)) };
        (half != self).then_some(half)
    }
}

/// What work that failed can be tried again with.
pub(super) struct Again {
    /// What happened, for users.
    pub said: String,
    /// With less at a time.
    pub share: Share,
}

/// What is left of a piece of work's patience with its device: it is opened again once.
#[derive(Default)]
pub(super) struct Tries {
    lost: bool,
    /// The last error of memory.
    short: Option<String>,
}

impl Tries {
    /// Whether another try can mend `error`.
    pub fn mend(error: &Error) -> bool {
        matches!(error, Error::Lost(_) | Error::Memory(_))
    }

    /// How to try again what failed with a `share`; `error` itself where that is of no use.
    pub fn after(&mut self, error: Error, share: Share) -> Result<Again> {
        // wgpu gives a device up where memory is out in the middle of its work.
        let short = match &error {
            Error::Lost(reason) => reason.contains("memory"),
            error => matches!(error, Error::Memory(_)),
        };
        match error {
            Error::Lost(reason) if self.lost => Err(Error::Lost(format!(
                "{reason}; it was opened again once before, so that this is the end"
            ))),
            Error::Lost(reason) => {
                self.lost = true;
                let share = if short { share.halved().unwrap_or(share) } else { share };
                Ok(Again { said: format!("the device was lost ({reason}); it is opened again"), share })
            }
            Error::Memory(reason) => match share.halved() {
                Some(half) => {
                    self.short = Some(reason.clone());
                    let said = format!(
                        "the device is out of memory ({reason}); going on with batches of {} and a budget of {} MiB",
                        half.batch,
                        half.memory >> 20
                    );
                    Ok(Again { said, share: half })
                }
                None => Err(Error::Memory(format!(
                    "{reason}, also with one image at a time; use a smaller frame or coreset ratio, or close what else \
                     uses the device"
                ))),
            },
            // A budget so small was not asked for.
            Error::Limit(reason) => match self.short.take() {
                Some(short) => Err(Error::Memory(format!("{short}; with less at a time: {reason}"))),
                None => Err(Error::Limit(reason)),
            },
            other => Err(other),
        }
    }
}

/// Runs `work` on a device with settings; once more from its start where the device was lost, and with half
/// of what is taken at a time as often as memory is out.
///
/// # Errors
/// Those of `work` otherwise; [`Error::Cancelled`] where `progress` asked to stop between tries.
pub(crate) fn persist<T>(
    device: &Device,
    options: &FitOptions,
    progress: &dyn Progress,
    mut work: impl FnMut(&Device, &FitOptions) -> Result<T>,
) -> Result<T> {
    let (mut device, mut options, mut tries) = (device.current()?, options.clone(), Tries::default());
    loop {
        let error = match work(&device, &options) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let Again { said, share } = tries.after(error, Share::of(&options))?;
        progress.notice(&format!("{said}, and the work begins anew"));
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        device = device.current()?;
        (options.batch, options.memory) = (share.batch, share.memory);
    }
}
