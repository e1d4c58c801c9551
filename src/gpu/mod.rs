//! The device: the only folder that names wgpu.
