//! Records dispatches once into a [`Plan`] that is submitted any number of times.

use super::copies::Fill;
use super::device::Device;
use super::kernel::{Kernel, Kind};
use super::plan::{Plan, Step};
use super::readback::Readback;
use super::tensor::Tensor;
use super::texels::Texels;
use crate::process::OfProcess;
use crate::{Error, Result};
use std::sync::Arc;

enum Recorded {
    Dispatch { kernel: Arc<Kernel>, label: String, tensors: Vec<Tensor>, params: Vec<u8>, grid: [u32; 3] },
    Copy { from: Tensor, to: Tensor, from_word: usize, to_word: usize, words: usize },
    CopyBack { from: Tensor, to: wgpu::Buffer, to_word: usize, words: usize },
    Clear { tensor: Tensor },
    Fill(Fill),
    Cut,
}

/// Collects steps in order. Nothing reaches the device before [`Plan::submit`].
pub struct Recorder {
    device: Device,
    steps: Vec<Recorded>,
    /// Textures that the next dispatch reads.
    taken: Vec<Arc<Texels>>,
}

impl Recorder {
    /// An empty recorder.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), steps: Vec::new(), taken: Vec::new() }
    }

    /// The device that the work is for.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Records one dispatch: `tensors` in the order of the shader's storage bindings, then `params` for its
    /// uniform (`&()` where it has none).
    ///
    /// # Errors
    /// [`Error::Limit`] where the grid passes the device's limit.
    ///
    /// # Panics
    /// Where the number of tensors, the size of `params`, or that of a tensor for which the shader declares
    /// one size is not the shader's, or a tensor is a [part](Tensor::part) that cannot be bound: a mistake in
    /// host code, not in input.
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
        assert!(
            tensors.iter().all(|t| t.is_aligned()),
            "{}: {tensors:?} begin where none is bound",
            kernel.label
        );
        let limit = self.device.caps().max_groups;
        self.taken.clear();
        for (tensor, binding) in tensors.iter().zip(kernel.storage()) {
            match binding.kind {
                Kind::ReadWrite => tensor.assert_may_change(),
                Kind::Texels { .. } => {
                    assert!(tensor.texels().is_some(), "{}: {tensor:?} has no texture", kernel.label);
                }
                _ => {}
            }
        }
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

    /// The tensor with its words in a texture, for kernels that ask for one, where the device
    /// [reads such](Device::reads_texels). To be followed by the dispatch that it is for: the next one but that may
    /// have other words there.
    ///
    /// # Errors
    /// [`Error::Memory`] where memory is out.
    pub(crate) fn texels(&mut self, tensor: &Tensor) -> Result<Tensor> {
        if tensor.is_constant() {
            return self.device.shown(tensor);
        }
        let (tensor, fill) = self.device.filled(tensor, &self.taken)?;
        self.taken.extend(tensor.texels().cloned());
        self.steps.push(Recorded::Fill(fill));
        Ok(tensor)
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
        to.assert_may_change();
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
        tensor.assert_may_change();
        self.steps.push(Recorded::Clear { tensor: tensor.clone() });
    }

    /// Ends a submission: what is recorded later goes to the device as another one. Watchdogs count by
    /// submission.
    pub fn cut(&mut self) {
        self.steps.push(Recorded::Cut);
    }

    /// Builds bind groups and the parameter buffer.
    ///
    /// # Errors
    /// [`Error::Device`] where wgpu refuses a binding.
    pub fn finish(self) -> Result<Plan> {
        let Self { device, steps, .. } = self;
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
        if device.rehearses() {
            for step in steps {
                match step {
                    Recorded::Dispatch { tensors, .. } => kept.extend(tensors),
                    Recorded::CopyBack { from, .. } => kept.push(from),
                    _ => {}
                }
            }
            return Ok(Plan {
                device,
                steps: OfProcess::new(Vec::new()),
                _tensors: kept,
                token: Arc::default(),
            });
        }
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
                    Recorded::Fill(fill) => Step::Fill(fill),
                    Recorded::Cut => Step::Cut,
                    Recorded::Dispatch { kernel, label, tensors, params, grid } => {
                        let Some((pipeline, layout)) = &kernel.built else { continue };
                        let mut storage = tensors.iter();
                        let entries: Vec<_> = kernel
                            .bindings
                            .iter()
                            .enumerate()
                            .filter_map(|(i, binding)| {
                                let resource = match binding.kind {
                                    Kind::Uniform => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                                        buffer: parameters.buffer(),
                                        offset: offset as u64,
                                        size: std::num::NonZeroU64::new(
                                            params.len().next_multiple_of(16) as u64
                                        ),
                                    }),
                                    Kind::Texels { .. } => {
                                        wgpu::BindingResource::TextureView(&storage.next()?.texels()?.view)
                                    }
                                    _ => wgpu::BindingResource::Buffer(storage.next()?.binding()),
                                };
                                Some(wgpu::BindGroupEntry { binding: i as u32, resource })
                            })
                            .collect();
                        let group = device.0.wgpu.create_bind_group(&wgpu::BindGroupDescriptor {
                            label: Some(&label),
                            layout,
                            entries: &entries,
                        });
                        drop(entries);
                        device.count_created(1);
                        kept.extend(tensors);
                        Step::Dispatch { pipeline: pipeline.clone(), group, grid, label }
                    }
                });
            }
            built
        })?;
        Ok(Plan { device, steps: OfProcess::new(steps), _tensors: kept, token: Arc::default() })
    }

    /// [`Recorder::finish`] and one [`Plan::submit`].
    ///
    /// # Errors
    /// As those two.
    pub fn run(self) -> Result<()> {
        self.finish()?.submit()
    }
}
