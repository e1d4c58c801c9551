//! Recorded work, ready to be submitted any number of times.

use super::device::Device;
use super::readback::Submission;
use super::tensor::Tensor;
use super::timestamps::Timestamps;
use crate::Result;
use crate::process::OfProcess;

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
        let shared = &first.device.0;
        first.device.scoped("submitting", || {
            let encoder = || shared.wgpu.create_command_encoder(&Default::default());
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
        for chunk in self.steps.chunks(2048) {
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
        Step::Dispatch { .. } | Step::Cut => {}
    }
}
