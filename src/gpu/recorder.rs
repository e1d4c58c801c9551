//! Records dispatches once into a [`Plan`] that is submitted any number of times.

use super::{Device, Kernel, Readback, Submission, Tensor, kernel::Kind};
use crate::{Error, Result};
use std::sync::Arc;

enum Recorded {
    Dispatch { kernel: Arc<Kernel>, label: String, tensors: Vec<Tensor>, params: Vec<u8>, grid: [u32; 3] },
    Copy { from: Tensor, to: Tensor, from_word: usize, to_word: usize, words: usize },
    CopyBack { from: Tensor, to: wgpu::Buffer, to_word: usize, words: usize },
    Clear { tensor: Tensor },
    Cut,
}

/// Collects steps in order. Nothing reaches the device before [`Plan::submit`].
pub struct Recorder {
    device: Device,
    steps: Vec<Recorded>,
}

enum Step {
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
    device: Device,
    steps: Vec<Step>,
    // The bind groups hold the buffers; these hold the accounting of their memory.
    _tensors: Vec<Tensor>,
}

/// Time of one dispatch, from GPU timestamps.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// Op, variant and shape.
    pub label: String,
    /// Seconds.
    pub seconds: f64,
}

impl Recorder {
    /// An empty recorder.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), steps: Vec::new() }
    }

    /// The device that the work is for.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Records one dispatch: `tensors` in the order of the shader's storage bindings, then `params` for its uniform (`&()`
    /// where it has none).
    ///
    /// # Errors
    /// [`Error::Limit`] where the grid passes the device's limit.
    ///
    /// # Panics
    /// Where the number of tensors, the size of `params`, or that of a tensor for which the shader declares one size is
    /// not the shader's: a mistake in host code, not in input.
    pub fn dispatch<P: bytemuck::Pod>(
        &mut self,
        kernel: &Arc<Kernel>,
        shape: &str,
        tensors: &[&Tensor],
        params: &P,
        grid: [u32; 3],
    ) -> Result<()> {
        let params = bytemuck::bytes_of(params).to_vec();
        kernel.check(tensors.iter().map(|t| t.len() as u64 * 4), params.len());
        let limit = self.device.caps().max_groups;
        if grid.iter().any(|&g| g > limit) {
            return Err(Error::Limit(format!(
                "{} {shape}: grid {grid:?} passes {limit} workgroups",
                kernel.label
            )));
        }
        if grid.contains(&0) {
            return Ok(());
        }
        self.steps.push(Recorded::Dispatch {
            kernel: kernel.clone(),
            label: format!("{} {shape}", kernel.label),
            tensors: tensors.iter().map(|&t| t.clone()).collect(),
            params,
            grid,
        });
        Ok(())
    }

    /// Records a copy of `words` words.
    ///
    /// # Panics
    /// Where a range does not fit.
    pub fn copy(&mut self, from: &Tensor, from_word: usize, to: &Tensor, to_word: usize, words: usize) {
        assert!(
            from_word + words <= from.len() && to_word + words <= to.len(),
            "copy of {words} words does not fit"
        );
        self.steps.push(Recorded::Copy { from: from.clone(), to: to.clone(), from_word, to_word, words });
    }

    /// Records a copy of the first `words` words of `from` to word `to_word` of `to`.
    ///
    /// # Panics
    /// Where a range does not fit.
    pub fn copy_back(&mut self, from: &Tensor, words: usize, to: &Readback, to_word: usize) {
        to.check(from, words, to_word);
        let to = to.allocation.buffer.clone();
        self.steps.push(Recorded::CopyBack { from: from.clone(), to, to_word, words });
    }

    /// Records setting a whole tensor to zero.
    pub fn clear(&mut self, tensor: &Tensor) {
        self.steps.push(Recorded::Clear { tensor: tensor.clone() });
    }

    /// Ends a submission: what is recorded later goes to the device as another one. Watchdogs count by submission.
    pub fn cut(&mut self) {
        self.steps.push(Recorded::Cut);
    }

    /// Builds bind groups and the parameter buffer.
    ///
    /// # Errors
    /// [`Error::Device`] where wgpu refuses a binding.
    pub fn finish(self) -> Result<Plan> {
        let Self { device, steps } = self;
        let align = device.caps().alignment as usize;
        let mut uniform = Vec::new();
        let mut offsets = Vec::with_capacity(steps.len());
        for step in &steps {
            offsets.push(uniform.len());
            if let Recorded::Dispatch { params, .. } = step {
                uniform.extend_from_slice(params);
                uniform.resize(uniform.len().next_multiple_of(16).next_multiple_of(align), 0);
            }
        }
        let parameters = device.upload(&uniform, "parameters")?;
        let mut kept = vec![parameters.clone()];
        let steps = device.scoped("recording", || {
            let mut built = Vec::with_capacity(steps.len());
            for (step, offset) in steps.into_iter().zip(offsets) {
                built.push(match step {
                    Recorded::Copy { from, to, from_word, to_word, words } => Step::Copy {
                        from: from.buffer().clone(),
                        from_byte: from.offset() + from_word as u64 * 4,
                        to: to.buffer().clone(),
                        to_byte: to.offset() + to_word as u64 * 4,
                        bytes: words as u64 * 4,
                    },
                    Recorded::CopyBack { from, to, to_word, words } => {
                        let (buffer, from_byte) = (from.buffer().clone(), from.offset());
                        kept.push(from);
                        let (to_byte, bytes) = (to_word as u64 * 4, words as u64 * 4);
                        Step::Copy { from: buffer, from_byte, to, to_byte, bytes }
                    }
                    Recorded::Clear { tensor } => Step::Clear {
                        buffer: tensor.buffer().clone(),
                        byte: tensor.offset(),
                        bytes: tensor.len() as u64 * 4,
                    },
                    Recorded::Cut => Step::Cut,
                    Recorded::Dispatch { kernel, label, tensors, params, grid } => {
                        let mut storage = tensors.iter();
                        let entries: Vec<_> = kernel
                            .bindings
                            .iter()
                            .enumerate()
                            .filter_map(|(i, binding)| {
                                let buffer = match binding.kind {
                                    Kind::Uniform => wgpu::BufferBinding {
                                        buffer: parameters.buffer(),
                                        offset: offset as u64,
                                        size: std::num::NonZeroU64::new(
                                            params.len().next_multiple_of(16) as u64
                                        ),
                                    },
                                    _ => storage.next()?.binding(),
                                };
                                Some(wgpu::BindGroupEntry {
                                    binding: i as u32,
                                    resource: wgpu::BindingResource::Buffer(buffer),
                                })
                            })
                            .collect();
                        let group = device.0.wgpu.create_bind_group(&wgpu::BindGroupDescriptor {
                            label: Some(&label),
                            layout: &kernel.layout,
                            entries: &entries,
                        });
                        drop(entries);
                        device.count_created(1);
                        kept.extend(tensors);
                        Step::Dispatch { pipeline: kernel.pipeline.clone(), group, grid, label }
                    }
                });
            }
            built
        })?;
        Ok(Plan { device, steps, _tensors: kept })
    }

    /// [`Recorder::finish`] and one [`Plan::submit`].
    ///
    /// # Errors
    /// As those two.
    pub fn run(self) -> Result<()> {
        self.finish()?.submit()
    }
}

impl Plan {
    /// Encodes all steps and submits them, in one command buffer unless it was [cut](Recorder::cut). Does not wait.
    ///
    /// # Errors
    /// [`Error::Device`] where wgpu refuses the work.
    pub fn submit(&self) -> Result<()> {
        Self::submit_all(&[self])
    }

    /// Submits several plans of one device, in order, in one command buffer unless they were cut. Does not wait.
    ///
    /// # Errors
    /// As [`Plan::submit`].
    pub fn submit_all(plans: &[&Self]) -> Result<()> {
        Self::submit_for(plans).map(|_| ())
    }

    /// [`Plan::submit_all`], for waiting for just that with [`Readback::read`].
    ///
    /// # Errors
    /// As [`Plan::submit`].
    pub fn submit_for(plans: &[&Self]) -> Result<Submission> {
        let Some(first) = plans.first() else { return Ok(Submission(None)) };
        let shared = &first.device.0;
        first.device.scoped("submitting", || {
            let encoder = || shared.wgpu.create_command_encoder(&Default::default());
            let mut open = encoder();
            for plan in plans {
                for (i, part) in plan.parts().enumerate() {
                    if i > 0 {
                        shared.queue.submit([std::mem::replace(&mut open, encoder()).finish()]);
                    }
                    encode(part, &mut open, || None);
                }
            }
            Submission(Some(shared.queue.submit([open.finish()])))
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

    /// Runs the plan `repeats` times in one submission, waits, and returns the seconds of all together, from timestamps before
    /// the first dispatch and after the last. Cuts are passed over.
    ///
    /// # Errors
    /// [`Error::Device`] where the device has no timestamps.
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
    /// [`Error::Device`] where the device has no timestamps.
    pub fn profile(&self) -> Result<Vec<StepTime>> {
        let shared = &self.device.0;
        let mut times = Vec::new();
        // A query set holds 4096 entries: two a dispatch.
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
                shared.queue.submit([encoder.finish()]);
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

/// Times that the device writes down.
struct Timestamps {
    set: wgpu::QuerySet,
    resolve: wgpu::Buffer,
    staging: wgpu::Buffer,
}

impl Timestamps {
    /// Room for `count`.
    fn new(device: &Device, count: u32) -> Result<Self> {
        let shared = &device.0;
        if !shared.caps.timestamps {
            return Err(Error::Device("the adapter offers no timestamp queries".into()));
        }
        let buffer = |usage| {
            shared.wgpu.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: u64::from(count) * 8,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        Ok(Self {
            set: shared.wgpu.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            }),
            resolve: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer(wgpu::BufferUsages::MAP_READ),
        })
    }

    /// Writes of a pass as it begins and ends.
    fn around(&self, first: Option<u32>, last: Option<u32>) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: first,
            end_of_pass_write_index: last,
        }
    }

    /// Submits `encoder` and reads the first `count` ticks.
    fn read(&self, device: &Device, mut encoder: wgpu::CommandEncoder, count: u32) -> Result<Vec<u64>> {
        let bytes = u64::from(count) * 8;
        encoder.resolve_query_set(&self.set, 0..count, &self.resolve, 0);
        encoder.copy_buffer_to_buffer(&self.resolve, 0, &self.staging, 0, bytes);
        device.0.queue.submit([encoder.finish()]);
        device.read_mapped(&self.staging, bytes)
    }

    fn seconds(&self, device: &Device, from: u64, to: u64) -> f64 {
        to.saturating_sub(from) as f64 * f64::from(device.0.queue.get_timestamp_period()) * 1e-9
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
