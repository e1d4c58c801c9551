//! WGSL to SPIR-V as wgpu-hal's Vulkan backend does it for a device that this library opens, in a release
//! build.

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// A translated shader.
pub struct Spirv {
    pub words: Vec<u32>,
    /// Name of the entry point.
    pub entry: std::ffi::CString,
    /// Binding number, and whether it is a uniform; all in group 0.
    pub bindings: Vec<(u32, bool)>,
}

/// Translates one entry point of a shader.
pub fn translate(source: &str, entry: &str) -> Result<Spirv, String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .map_err(|e| e.emit_to_string(source))?;
    let mut bindings = Vec::new();
    let at = module.entry_points.iter().position(|e| e.name == entry).ok_or("no such entry point")?;
    let uses = info.get_entry_point(at);
    for (handle, variable) in module.global_variables.iter() {
        if let (false, Some(at)) = (uses[handle].is_empty(), variable.binding) {
            bindings.push((at.binding, variable.space == naga::AddressSpace::Uniform));
        }
    }
    let pipeline =
        spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: entry.into() };
    let words = spv::write_vec(&module, &info, &options(), Some(&pipeline)).map_err(|e| e.to_string())?;
    let entry = std::ffi::CString::new(entry).map_err(|e| e.to_string())?;
    Ok(Spirv { words, entry, bindings })
}

/// What `ShaderRuntimeChecks::unchecked` and no zeroing of workgroup memory come to, on Vulkan 1.3.
fn options() -> spv::Options<'static> {
    use spv::Capability::*;
    let capabilities = [
        Shader,
        Matrix,
        ImageQuery,
        GroupNonUniform,
        GroupNonUniformVote,
        GroupNonUniformArithmetic,
        GroupNonUniformBallot,
        GroupNonUniformShuffle,
        GroupNonUniformShuffleRelative,
        GroupNonUniformQuad,
        Int64,
        Float16,
        CooperativeMatrixKHR,
        VulkanMemoryModel,
    ];
    let unchecked = BoundsCheckPolicy::Unchecked;
    spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        capabilities: Some(capabilities.into_iter().collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        use_storage_input_output_16: false,
        // Bindings keep their numbers.
        fake_missing_bindings: true,
        ..Default::default()
    }
}
