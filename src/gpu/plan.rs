//! Recorded work, ready to be submitted any number of times.

use super::copies::Fill;
use super::device::Device;
use super::readback::Submission;
use super::tensor::Tensor;
use super::timestamps::Timestamps;
use crate::Result;
use crate::process::{self, OfProcess};
use std::sync::{Arc, Weak};

/// One step of a plan.
pub(super) enum Step {
    Dispatch {
        pipeline: wgpu::ComputePipeline,
        group: wgpu::BindGroup,
        grid: [u32; 3],
        label: String,
    },
    Copy {
        from: wgpu::Buffer,
        from_byte: u64,
        to: wgpu::Buffer,
        to_byte: u64,
        bytes: u64,
    },
    Clear {
        buffer: wgpu::Buffer,
        byte: u64,
        bytes: u64,
    },
    /// To a texture.
    Fill(Fill),
    /// What follows is a submission of its own.
    Cut,
}

impl Step {
    fn is_dispatch(&self) -> bool {
        matches!(self, Self::Dispatch { .. })
    }
}

/// Recorded work with its bind groups and parameters: submitting it allocates nothing but an encoder.
pub struct Plan {
    pub(super) device: Device,
    pub(super) steps: OfProcess<Vec<Step>>,
    // The bind groups hold the buffers; these hold the accounting of their memory.
    pub(super) _tensors: Vec<Tensor>,
    /// For [`Recurring`], which knows plans by it.
    pub(super) token: Arc<()>,
}

/// Time of one dispatch, from GPU timestamps.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// Op, variant and shape.
    pub label: String,
    /// Seconds.
    pub seconds: f64,
}

impl Plan {
    /// Encodes all steps and submits them, in one command buffer unless it was [cut](super::Recorder::cut).
    /// Does not wait.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where wgpu refuses the work.
    pub fn submit(&self) -> Result<()> {
        Self::submit_all(&[self])
    }

    /// Submits several plans of one device, in order, in one command buffer unless they were cut. Does not
    /// wait.
    ///
    /// # Errors
    /// As [`Plan::submit`].
    pub fn submit_all(plans: &[&Self]) -> Result<()> {
        Self::submit_for(plans).map(|_| ())
    }

    /// [`Plan::submit_all`], for waiting for just that with [`super::Readback::read`].
    ///
    /// # Errors
    /// As [`Plan::submit`].
    pub fn submit_for(plans: &[&Self]) -> Result<Submission> {
        let Some(first) = plans.first() else { return Ok(Submission(None)) };
        if first.device.rehearses() {
            return Ok(Submission(None));
        }
        first.device.scoped("submitting", || {
            let encoder = || first.device.0.wgpu.create_command_encoder(&Default::default());
            let mut open = encoder();
            for plan in plans {
                for (i, part) in plan.parts().enumerate() {
                    if i > 0 {
                        first.device.submit(std::mem::replace(&mut open, encoder()).finish());
                    }
                    encode(part, &mut open, || None);
                }
            }
            Submission(Some(first.device.submit(open.finish())))
        })
    }

    fn parts(&self) -> impl Iterator<Item = &[Step]> {
        self.steps.split(|s| matches!(s, Step::Cut))
    }

    /// Submissions that [`Plan::submit`] makes.
    pub fn submissions(&self) -> usize {
        self.parts().count()
    }

    /// Labels of the dispatches in order: op, variant, shape.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Dispatch { label, .. } => Some(label.as_str()),
            _ => None,
        })
    }

    /// Runs the plan `repeats` times in one submission, waits, and returns the seconds of all together, from
    /// timestamps before the first dispatch and after the last. Cuts are passed over.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device has no timestamps.
    pub fn time(&self, repeats: usize) -> Result<f64> {
        let stamps = Timestamps::new(&self.device, 2)?;
        let passes = repeats * passes(&self.steps);
        if passes == 0 {
            return Ok(0.0);
        }
        let mut encoder = self.device.0.wgpu.create_command_encoder(&Default::default());
        let mut pass = 0;
        for _ in 0..repeats {
            encode(&self.steps, &mut encoder, || {
                pass += 1;
                let (first, last) = (pass == 1, pass == passes);
                (first || last).then(|| stamps.around(first.then_some(0), last.then_some(1)))
            });
        }
        let ticks = stamps.read(&self.device, encoder, 2)?;
        Ok(stamps.seconds(&self.device, ticks[0], ticks[1]))
    }

    /// Runs the plan with a timestamp around every dispatch and waits.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device has no timestamps.
    pub fn profile(&self) -> Result<Vec<StepTime>> {
        let shared = &self.device.0;
        let mut times = Vec::new();
        // A query set holds 4096 entries: two per dispatch.
        let mut rest = &self.steps[..];
        while !rest.is_empty() {
            // What is copied to a texture is read in the same submission.
            let mut count = rest.len().min(2048);
            while count > 1 && matches!(rest[count - 1], Step::Fill(_)) {
                count -= 1;
            }
            let (chunk, later) = rest.split_at(count);
            rest = later;
            let stamps = Timestamps::new(&self.device, 2 * chunk.len() as u32)?;
            let mut encoder = shared.wgpu.create_command_encoder(&Default::default());
            let mut labels = Vec::new();
            for step in chunk {
                let Step::Dispatch { pipeline, group, grid, label } = step else {
                    encode_transfer(&mut encoder, step);
                    continue;
                };
                let first = 2 * labels.len() as u32;
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(label),
                    timestamp_writes: Some(stamps.around(Some(first), Some(first + 1))),
                });
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, group, &[]);
                pass.dispatch_workgroups(grid[0], grid[1], grid[2]);
                labels.push(label);
            }
            if labels.is_empty() {
                self.device.scoped("submitting", || self.device.submit(encoder.finish()))?;
                continue;
            }
            let ticks = stamps.read(&self.device, encoder, 2 * labels.len() as u32)?;
            times.extend(labels.iter().zip(ticks.chunks_exact(2)).map(|(label, pair)| StepTime {
                label: (*label).clone(),
                seconds: stamps.seconds(&self.device, pair[0], pair[1]),
            }));
        }
        Ok(times)
    }
}

/// Submits lists of plans, and encodes those that have come before once more while the device works on them: where
/// one image comes after the other, the next has its commands ready.
pub(crate) struct Recurring(OfProcess<Vec<Known>>);

/// A list of plans that was submitted.
struct Known {
    /// Tokens of the plans: a plan that is dropped takes its buffers along, and the list will not come again.
    plans: Vec<Weak<()>>,
    commands: Option<wgpu::CommandBuffer>,
}

/// Lists that are remembered: one image and a batch, with two sets of results each.
const LISTS: usize = 4;

impl Recurring {
    pub fn new() -> Self {
        Self(OfProcess::new(Vec::new()))
    }

    /// Forgets what is encoded, and with it the buffers that it uses.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// [`Plan::submit_for`].
    ///
    /// # Errors
    /// As [`Plan::submit_for`].
    pub fn submit(&mut self, plans: &[&Plan]) -> Result<Submission> {
        process::check()?;
        self.0.retain(|known| known.plans.iter().all(|plan| plan.strong_count() > 0));
        let Some(first) = plans.first() else { return Ok(Submission(None)) };
        if first.device.rehearses() || plans.iter().any(|plan| plan.submissions() > 1) {
            return Plan::submit_for(plans);
        }
        let same = |known: &Known| {
            let alike = |(of, plan): (&Weak<()>, &&Plan)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(&plan.token));
            known.plans.len() == plans.len() && known.plans.iter().zip(plans).all(alike)
        };
        let known = self.0.iter().position(same).map(|at| self.0.remove(at));
        let again = known.is_some();
        let mut known = known.unwrap_or_else(|| Known {
            plans: plans.iter().map(|plan| Arc::downgrade(&plan.token)).collect(),
            commands: None,
        });
        let ready = known.commands.take();
        let device = &first.device;
        let submission = device
            .scoped("submitting", || device.submit(ready.unwrap_or_else(|| commands(plans))))
            .map(|submitted| Submission(Some(submitted)))?;
        if again {
            // Where the device was lost meanwhile, whoever waits for the results hears of it.
            known.commands = device.scoped("recording", || commands(plans)).ok();
        }
        if self.0.len() >= LISTS {
            self.0.remove(0);
        }
        self.0.push(known);
        Ok(submission)
    }
}

/// The commands of plans that are not cut.
fn commands(plans: &[&Plan]) -> wgpu::CommandBuffer {
    let mut encoder = plans[0].device.0.wgpu.create_command_encoder(&Default::default());
    plans.iter().for_each(|plan| encode(&plan.steps, &mut encoder, || None));
    encoder.finish()
}

/// Passes that [`encode`] makes.
fn passes(steps: &[Step]) -> usize {
    steps.chunk_by(|a, b| a.is_dispatch() == b.is_dispatch()).filter(|run| run[0].is_dispatch()).count()
}

/// Encodes steps, neighbouring dispatches in one pass; `stamps` tells what each pass writes down.
fn encode<'a>(
    steps: &[Step],
    encoder: &mut wgpu::CommandEncoder,
    mut stamps: impl FnMut() -> Option<wgpu::ComputePassTimestampWrites<'a>>,
) {
    let mut steps = steps.iter().peekable();
    while let Some(step) = steps.peek() {
        if !step.is_dispatch() {
            if let Some(step) = steps.next() {
                encode_transfer(encoder, step);
            }
            continue;
        }
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: stamps() };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        while let Some(Step::Dispatch { pipeline, group, grid, .. }) = steps.next_if(|s| s.is_dispatch()) {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(grid[0], grid[1], grid[2]);
        }
    }
}

fn encode_transfer(encoder: &mut wgpu::CommandEncoder, step: &Step) {
    match step {
        Step::Copy { from, from_byte, to, to_byte, bytes } => {
            encoder.copy_buffer_to_buffer(from, *from_byte, to, *to_byte, *bytes);
        }
        Step::Clear { buffer, byte, bytes } => encoder.clear_buffer(buffer, *byte, Some(*bytes)),
        Step::Fill(fill) => fill.encode(encoder),
        Step::Dispatch { .. } | Step::Cut => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::DeviceOptions;
    use super::super::recorder::Recorder;
    use super::*;

    #[test]
    fn what_recurs_does_the_same_and_goes_with_its_plans() {
        let device = Device::open(&DeviceOptions::default()).unwrap();
        let (from, to) = (device.alloc(4, "from").unwrap(), device.alloc(8, "to").unwrap());
        let copy = |at: usize| {
            let mut recorder = Recorder::new(&device);
            recorder.copy(&from, 0, &to, at, 4);
            recorder.finish().unwrap()
        };
        let (first, second, mut recurring) = (copy(0), copy(4), Recurring::new());
        let mut want = [0_u32; 8];
        for round in 1..=8 {
            // The lists by turns, one of them of both plans.
            let lists: [&[&Plan]; 3] = [&[&first], &[&second], &[&first, &second]];
            let plans = lists[round % 3];
            let values = [round as u32; 4];
            device.write(&from, 0, &values);
            recurring.submit(plans).unwrap();
            for plan in plans {
                let at = if std::ptr::eq(*plan, &first) { 0 } else { 4 };
                want[at..at + 4].copy_from_slice(&values);
            }
            assert_eq!(device.read::<u32>(&to).unwrap(), want, "round {round}");
            assert_eq!(
                recurring.0.iter().filter(|known| known.commands.is_some()).count(),
                round.clamp(3, 6) - 3
            );
        }
        assert_eq!(recurring.0.len(), 3);
        drop(second);
        recurring.submit(&[&first]).unwrap();
        assert_eq!(recurring.0.len(), 1, "what is left of a plan that is no more");
        // Plans that come once push out those that came before.
        for _ in 0..LISTS {
            recurring.submit(&[&copy(0)]).unwrap();
        }
        assert!(recurring.0.len() <= LISTS);
        // What is cut is several submissions.
        let mut recorder = Recorder::new(&device);
        recorder.copy(&from, 0, &to, 0, 4);
        recorder.cut();
        recorder.copy(&from, 0, &to, 4, 4);
        let cut = recorder.finish().unwrap();
        device.write(&from, 0, &[77_u32; 4]);
        recurring.submit(&[&cut]).unwrap();
        assert_eq!(device.read::<u32>(&to).unwrap(), [77; 8]);
    }
}
