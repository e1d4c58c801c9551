//! A kernel that is ready to run.

/// A compute pipeline with its bind-group layout.
pub struct Kernel {
    pub(super) label: String,
    /// With the layout of its bindings; none on a device that only counts.
    pub(super) built: Option<(wgpu::ComputePipeline, wgpu::BindGroupLayout)>,
    /// By number.
    pub(super) bindings: Vec<Binding>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({})", self.label)
    }
}

/// What a kernel binds under a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub kind: Kind,
    /// Bytes of a type that has one size; none of an array as long as its buffer.
    pub bytes: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    ReadWrite,
    Uniform,
    /// A tensor as a texture, of f16 values or f32.
    Texels {
        f16: bool,
    },
}

impl Kernel {
    /// Its tensors, in order.
    pub(super) fn storage(&self) -> impl Iterator<Item = &Binding> + Clone {
        self.bindings.iter().filter(|b| b.kind != Kind::Uniform)
    }

    /// Checks what a dispatch brings against what the shader declares.
    ///
    /// # Panics
    /// Where it does not fit: a mistake in host code, not in input.
    pub(super) fn check(&self, tensors: impl ExactSizeIterator<Item = u64>, params: usize) {
        if self.built.is_none() {
            return;
        }
        let label = &self.label;
        let storage = self.storage();
        assert_eq!(storage.clone().count(), tensors.len(), "{label}: storage bindings");
        for (i, (binding, bytes)) in storage.zip(tensors).enumerate() {
            let declared = binding.bytes.map_or(bytes, u64::from);
            assert_eq!(
                declared, bytes,
                "{label}: bytes of storage binding {i} in the shader, and of its buffer"
            );
        }
        let uniform = self.bindings.iter().find(|b| b.kind == Kind::Uniform).and_then(|b| b.bytes);
        let declared = uniform.unwrap_or_default() as usize;
        assert_eq!(declared, params, "{label}: bytes of the shader's parameters, and of the host's");
    }
}
