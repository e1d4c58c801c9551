//! A Vulkan device that compiles pipelines and says what came of them. Mesa's RADV opens one without a GPU
//! where `RADV_FORCE_FAMILY` names a family; it cannot run anything, so wgpu does not take it.

use super::spirv::Spirv;
use ash::{ext, khr, vk};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the compiler says of a pipeline.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// Lanes of a subgroup.
    pub subgroup: u32,
    /// By the driver's names.
    pub values: BTreeMap<String, u64>,
}

/// What the driver says of the device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Offers {
    pub name: String,
    /// Cooperative matrices of 16 x 16 with f16 operands and f32 sums.
    pub coop: bool,
    /// Smallest and largest subgroup.
    pub subgroup: (u32, u32),
}

/// An open device. It is never closed: the process ends when it has compiled what it was asked to.
pub struct Compiler {
    pub offers: Offers,
    device: ash::Device,
    executables: khr::pipeline_executable_properties::Device,
    // Unloads libvulkan when dropped.
    _entry: ash::Entry,
}

impl Compiler {
    /// Opens the first device with the features that wgpu enables for this library.
    pub fn open() -> Result<Self, String> {
        // SAFETY: loading libvulkan runs its initialisers, which have no preconditions.
        let entry = unsafe { ash::Entry::load() }.map_err(|e| format!("libvulkan: {e}"))?;
        let app = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let create = vk::InstanceCreateInfo::default().application_info(&app);
        // SAFETY: `create` is complete, and `entry` outlives the instance.
        let instance = unsafe { entry.create_instance(&create, None) }.map_err(|e| e.to_string())?;
        // SAFETY: the instance is alive, here and below.
        let found = unsafe { instance.enumerate_physical_devices() }.map_err(|e| e.to_string())?;
        let physical = *found.first().ok_or("the driver has no device")?;
        let extensions = names(&instance, physical)?;
        let has = |name: &std::ffi::CStr| extensions.iter().any(|e| e == name);
        let wanted = [khr::pipeline_executable_properties::NAME, ext::robustness2::NAME];
        if let Some(missing) = wanted.iter().find(|name| !has(name)) {
            return Err(format!("the driver has no {}", missing.to_string_lossy()));
        }
        let matrices = has(khr::cooperative_matrix::NAME) && coop(&entry, &instance, physical)?;
        let mut enabled: Vec<_> = wanted.iter().map(|name| name.as_ptr()).collect();
        if matrices {
            enabled.push(khr::cooperative_matrix::NAME.as_ptr());
        }

        let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true).shader_int64(true);
        let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default()
            .robust_buffer_access2(true)
            .robust_image_access2(true);
        let mut v11 = vk::PhysicalDeviceVulkan11Features::default()
            .storage_buffer16_bit_access(true)
            .uniform_and_storage_buffer16_bit_access(true);
        let mut v12 = vk::PhysicalDeviceVulkan12Features::default()
            .shader_float16(true)
            .shader_int8(true)
            .timeline_semaphore(true)
            .vulkan_memory_model(matrices)
            .vulkan_memory_model_device_scope(matrices);
        let mut v13 = vk::PhysicalDeviceVulkan13Features::default()
            .robust_image_access(true)
            .subgroup_size_control(true)
            .shader_zero_initialize_workgroup_memory(true)
            .shader_integer_dot_product(true);
        let mut cooperative =
            vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(true);
        let mut executable = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
            .pipeline_executable_info(true);
        let queue = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let mut create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queue)
            .enabled_extension_names(&enabled)
            .enabled_features(&core)
            .push_next(&mut robust)
            .push_next(&mut v11)
            .push_next(&mut v12)
            .push_next(&mut v13)
            .push_next(&mut executable);
        if matrices {
            create = create.push_next(&mut cooperative);
        }
        // SAFETY: everything that `create` points to is alive, and features that are not there are refused.
        let device = unsafe { instance.create_device(physical, &create, None) }.map_err(|e| e.to_string())?;
        let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
        let offers = offers(&instance, physical, matrices);
        Ok(Self { offers, device, executables, _entry: entry })
    }

    /// Compiles a compute pipeline and asks for its statistics.
    pub fn compile(&self, spirv: &Spirv) -> Result<Statistics, String> {
        let device = &self.device;
        let bindings: Vec<_> =
            spirv.bindings.iter().map(|&(binding, uniform)| layout(binding, uniform)).collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let shader = vk::ShaderModuleCreateInfo::default().code(&spirv.words);
        // SAFETY: the device is alive; naga has validated the module; every handle is used before it is
        // destroyed.
        unsafe {
            let set = device.create_descriptor_set_layout(&set, None).map_err(|e| e.to_string())?;
            let sets = [set];
            let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = device.create_pipeline_layout(&create, None).map_err(|e| e.to_string())?;
            let module = device.create_shader_module(&shader, None).map_err(|e| e.to_string())?;
            // As wgpu does with subgroup operations: the driver picks the size.
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&spirv.entry);
            let create = vk::ComputePipelineCreateInfo::default()
                .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
                .stage(stage)
                .layout(layout);
            let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[create], None);
            let pipeline = made.map_err(|(_, e)| e.to_string())?[0];
            let statistics = self.statistics(pipeline);
            device.destroy_pipeline(pipeline, None);
            device.destroy_shader_module(module, None);
            device.destroy_pipeline_layout(layout, None);
            device.destroy_descriptor_set_layout(set, None);
            statistics
        }
    }

    fn statistics(&self, pipeline: vk::Pipeline) -> Result<Statistics, String> {
        let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
        // SAFETY: the pipeline is alive.
        let properties = unsafe { self.executables.get_pipeline_executable_properties(&info) };
        let properties = properties.map_err(|e| e.to_string())?;
        let [executable] = properties[..] else {
            return Err(format!("{} executables in place of one", properties.len()));
        };
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
        // SAFETY: the pipeline is alive, was made to capture statistics, and has that one executable.
        let found = unsafe { self.executables.get_pipeline_executable_statistics(&info) };
        let mut values = BTreeMap::new();
        for statistic in found.map_err(|e| e.to_string())? {
            let name = statistic.name_as_c_str().map_err(|e| e.to_string())?.to_string_lossy().into_owned();
            // The others of this driver are counts, too.
            if statistic.format == vk::PipelineExecutableStatisticFormatKHR::UINT64 {
                // SAFETY: the format says which member is set.
                values.insert(name, unsafe { statistic.value.u64 });
            }
        }
        Ok(Statistics { subgroup: executable.subgroup_size, values })
    }
}

fn layout(binding: u32, uniform: bool) -> vk::DescriptorSetLayoutBinding<'static> {
    let kind = if uniform { vk::DescriptorType::UNIFORM_BUFFER } else { vk::DescriptorType::STORAGE_BUFFER };
    vk::DescriptorSetLayoutBinding::default()
        .binding(binding)
        .descriptor_type(kind)
        .descriptor_count(1)
        .stage_flags(vk::ShaderStageFlags::COMPUTE)
}

/// Extensions of the device.
fn names(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<Vec<std::ffi::CString>, String> {
    // SAFETY: the handle comes from this instance.
    let all = unsafe { instance.enumerate_device_extension_properties(physical) };
    let all = all.map_err(|e| e.to_string())?;
    Ok(all.iter().filter_map(|e| e.extension_name_as_c_str().ok().map(Into::into)).collect())
}

/// Whether there are cooperative matrices as `suitable_coop` in src/gpu/adapter.rs wants them.
fn coop(entry: &ash::Entry, instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<bool, String> {
    let matrices = khr::cooperative_matrix::Instance::new(entry, instance);
    // SAFETY: the handle comes from this instance, and its device has the extension.
    let all = unsafe { matrices.get_physical_device_cooperative_matrix_properties(physical) };
    Ok(all.map_err(|e| e.to_string())?.iter().any(|p| {
        let [half, single] = [vk::ComponentTypeKHR::FLOAT16, vk::ComponentTypeKHR::FLOAT32];
        [p.m_size, p.n_size, p.k_size] == [16; 3]
            && [p.a_type, p.b_type, p.c_type, p.result_type] == [half, half, single, single]
            && p.scope == vk::ScopeKHR::SUBGROUP
    }))
}

fn offers(instance: &ash::Instance, physical: vk::PhysicalDevice, coop: bool) -> Offers {
    let mut v13 = vk::PhysicalDeviceVulkan13Properties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut v13);
    // SAFETY: the handle comes from this instance.
    unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
    let name =
        properties.properties.device_name_as_c_str().unwrap_or_default().to_string_lossy().into_owned();
    Offers { name, coop, subgroup: (v13.min_subgroup_size, v13.max_subgroup_size) }
}
