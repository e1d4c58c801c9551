//! Times that a device writes down.

use super::device::Device;
use crate::{Error, Result};

/// Times that the device writes down.
pub(super) struct Timestamps {
    set: wgpu::QuerySet,
    resolve: wgpu::Buffer,
    staging: wgpu::Buffer,
}

impl Timestamps {
    /// Room for `count`.
    pub fn new(device: &Device, count: u32) -> Result<Self> {
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
        device.scoped("timestamps", || Self {
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
    pub fn around(&self, first: Option<u32>, last: Option<u32>) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: first,
            end_of_pass_write_index: last,
        }
    }

    /// Submits `encoder` and reads the first `count` ticks.
    pub fn read(&self, device: &Device, mut encoder: wgpu::CommandEncoder, count: u32) -> Result<Vec<u64>> {
        let bytes = u64::from(count) * 8;
        device.scoped("timestamps", || {
            encoder.resolve_query_set(&self.set, 0..count, &self.resolve, 0);
            encoder.copy_buffer_to_buffer(&self.resolve, 0, &self.staging, 0, bytes);
            device.submit(encoder.finish());
        })?;
        device.read_mapped(&self.staging, bytes)
    }

    pub fn seconds(&self, device: &Device, from: u64, to: u64) -> f64 {
        to.saturating_sub(from) as f64 * f64::from(device.0.queue.get_timestamp_period()) * 1e-9
    }
}
