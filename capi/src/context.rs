//! Adapters, and contexts: a device with a backbone and a memory budget.

use crate::handles;
use crate::memory::{check, copy_text, fill, optional_text, read_sized, slice_mut, write, write_sized};
use crate::status::{Failure, SOFTPATCH_BUFFER_TOO_SMALL, guard, softpatch_status};
use softpatch::detector::{Backbone, FitJob, FitOptions};
use softpatch::low_level::gpu::{Device, DeviceOptions, adapters};
use std::ffi::c_char;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A device with a backbone and a memory budget. 0 is none.
pub type softpatch_context = u64;

/// The fastest kind of adapter.
pub const SOFTPATCH_POWER_HIGH: u32 = 0;
/// An integrated GPU where there is one.
pub const SOFTPATCH_POWER_LOW: u32 = 1;

/// An adapter. Texts that are too long are cut.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct softpatch_adapter {
    /// Index for `softpatch_context_options`.
    pub index: u32,
    /// Name as the driver gives it.
    pub name: [c_char; 256],
    /// Driver name and version.
    pub driver: [c_char; 256],
    /// "vulkan", "metal" or "dx12".
    pub backend: [c_char; 16],
    /// "discrete", "integrated", "virtual", "cpu" or "other".
    pub kind: [c_char; 16],
}

/// How to make a context. Fill it with `softpatch_context_options_init` first, then change what you like.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct softpatch_context_options {
    /// Size of this struct, set by `softpatch_context_options_init`.
    pub struct_size: usize,
    /// Part of the adapter's name (case does not matter); null: choose by `adapter_index` and `power`.
    pub adapter_name: *const c_char,
    /// Index of the adapter in the list; -1: choose by `power`. Not both a name and an index.
    pub adapter_index: i32,
    /// `SOFTPATCH_POWER_HIGH` or `SOFTPATCH_POWER_LOW`.
    pub power: u32,
    /// Bytes, on device and host together, for what grows with number and size of the training images in a fit;
    /// features past it wait in temporary files.
    pub memory_budget: u64,
    /// File with the weights of a backbone: safetensors with the names of torchvision, timm or
    /// efficientnet_lite_pytorch; null: EfficientNet-Lite0 up to block 10, which is in the library.
    pub weights_path: *const c_char,
    /// Architecture of the weights, e.g. "wide_resnet50_2"; null: names and shapes in the file tell. Only
    /// with `weights_path`.
    pub architecture: *const c_char,
    /// Stages that patches come from, with commas between, e.g. "layer2,layer3"; null: those usual for the
    /// architecture. Only with `weights_path`.
    pub layers: *const c_char,
    /// Folder for what a device remembers from one process to the next: kernels that passed their self-test,
    /// compiled pipelines; null: nothing is written.
    pub cache_folder: *const c_char,
    /// 1: without the self-test, which runs kernels that are new to this adapter, driver and version once
    /// before they are used, and fails with `SOFTPATCH_DEVICE` where one is wrong; else 0.
    pub no_self_test: u32,
    /// Milliseconds that the device may work on one submission before it counts as lost, and is opened again; 0:
    /// 30 000.
    pub device_timeout_ms: u64,
}

/// The sizes that the struct has had. Whoever adds fields at its end adds here the offset of the first of
/// them.
const SIZES: [usize; 3] = [
    offset_of!(softpatch_context_options, cache_folder),
    offset_of!(softpatch_context_options, device_timeout_ms),
    size_of::<softpatch_context_options>(),
];

pub(crate) struct Context {
    pub device: Device,
    pub backbone: Backbone,
    pub memory: u64,
    /// Cancelled fits whose last step was still running when their call returned.
    leftovers: Mutex<Vec<FitJob>>,
}

impl handles::Handled for Context {
    const KIND: &'static str = "context";
}

impl Context {
    /// Keeps a cancelled fit until its thread has ended.
    pub fn leave(&self, job: FitJob) {
        let mut leftovers = self.leftovers.lock().unwrap_or_else(PoisonError::into_inner);
        leftovers.retain(|job| !job.is_finished());
        leftovers.push(job);
    }
}

/// Lists the usable adapters, the fastest kind first.
///
/// Writes up to `capacity` adapters to `adapters` (which may be null for capacity 0) and how many there are
/// to `count`. Fails with `SOFTPATCH_BUFFER_TOO_SMALL`, `count` set, where `capacity` is neither 0 nor
/// enough.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_adapter_list(
    adapters_out: *mut softpatch_adapter,
    capacity: usize,
    count: *mut usize,
) -> softpatch_status {
    guard(|| {
        check(count, "count")?;
        // SAFETY: the caller's pointers, by the crate's contract.
        let out = unsafe { slice_mut(adapters_out, capacity, "adapters") }?;
        let all = adapters();
        // SAFETY: as above.
        unsafe { write(count, all.len(), "count") }?;
        if capacity > 0 && capacity < all.len() {
            return Err(Failure::new(
                SOFTPATCH_BUFFER_TOO_SMALL,
                format!("there are {} adapters, and room for {capacity}", all.len()),
            ));
        }
        for (to, adapter) in out.iter_mut().zip(&all) {
            *to = softpatch_adapter {
                index: adapter.index as u32,
                name: fill(&adapter.name),
                driver: fill(&adapter.driver),
                backend: fill(&adapter.backend),
                kind: fill(adapter.kind),
            };
        }
        Ok(())
    })
}

fn defaults() -> softpatch_context_options {
    softpatch_context_options {
        struct_size: size_of::<softpatch_context_options>(),
        adapter_name: std::ptr::null(),
        adapter_index: -1,
        power: SOFTPATCH_POWER_HIGH,
        memory_budget: FitOptions::default().memory,
        weights_path: std::ptr::null(),
        architecture: std::ptr::null(),
        layers: std::ptr::null(),
        cache_folder: std::ptr::null(),
        no_self_test: 0,
        device_timeout_ms: 0,
    }
}

/// Fills `options`, of `size` bytes (`sizeof *options`), with the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_context_options_init(
    options: *mut softpatch_context_options,
    size: usize,
) -> softpatch_status {
    // SAFETY: the caller's pointer, by the crate's contract.
    guard(|| unsafe { write_sized(options, size, &SIZES, defaults(), "options") })
}

fn backbone(weights: Option<&str>, arch: Option<&str>, layers: Option<&str>) -> Result<Backbone, Failure> {
    if let Some(path) = weights {
        let layers: Option<Vec<&str>> = layers.map(|l| l.split(',').map(str::trim).collect());
        return Ok(Backbone::open(Path::new(path), arch, layers.as_deref())?);
    }
    if arch.is_some() || layers.is_some() {
        return Err(Failure::argument("architecture and layers go with weights_path, which is null"));
    }
    #[cfg(feature = "embedded-weights")]
    return Ok(Backbone::embedded()?);
    #[cfg(not(feature = "embedded-weights"))]
    Err(Failure::new(
        crate::SOFTPATCH_WEIGHTS,
        "this library was built without weights: name a file with them in weights_path",
    ))
}

/// Opens a device. `options` may be null for the defaults.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_context_create(
    options: *const softpatch_context_options,
    context: *mut softpatch_context,
) -> softpatch_status {
    guard(|| {
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { write(context, 0, "context") }?;
        let options = if options.is_null() {
            defaults()
        } else {
            // SAFETY: as above.
            unsafe { read_sized(options, &SIZES, defaults(), "options") }?
        };
        // SAFETY: as above.
        let optional = |pointer, what| unsafe { optional_text(pointer, what) };
        let adapter = match (optional(options.adapter_name, "adapter_name")?, options.adapter_index) {
            (None, -1) => None,
            (Some(name), -1) => Some(name.to_owned()),
            (None, index @ 0..) if (index as usize) < adapters().len() => Some(index.to_string()),
            (None, index) => {
                return Err(Failure::argument(format!(
                    "adapter_index is {index}, and there are {} adapters",
                    adapters().len()
                )));
            }
            (Some(_), _) => return Err(Failure::argument("adapter_name and adapter_index are both set")),
        };
        let low_power = match options.power {
            SOFTPATCH_POWER_HIGH => false,
            SOFTPATCH_POWER_LOW => true,
            other => return Err(Failure::argument(format!("power is {other}, it must be 0 or 1"))),
        };
        let backbone = backbone(
            optional(options.weights_path, "weights_path")?,
            optional(options.architecture, "architecture")?,
            optional(options.layers, "layers")?,
        )?;
        let cache = optional(options.cache_folder, "cache_folder")?.map(PathBuf::from);
        let no_self_test = match options.no_self_test {
            0 => false,
            1 => true,
            other => return Err(Failure::argument(format!("no_self_test is {other}, it must be 0 or 1"))),
        };
        let timeout = Some(options.device_timeout_ms).filter(|ms| *ms > 0).map(Duration::from_millis);
        let device =
            DeviceOptions { adapter, low_power, cache, no_self_test, timeout, ..DeviceOptions::default() };
        let device = Device::open(&device)?;
        let made = Context { device, backbone, memory: options.memory_budget, leftovers: Mutex::default() };
        // SAFETY: as above.
        unsafe { write(context, handles::insert(made), "context") }
    })
}

/// Frees a context. Detectors and streams made in it live on. Waits for the last step of fits that were
/// cancelled.
#[unsafe(no_mangle)]
pub extern "C" fn softpatch_context_free(context: softpatch_context) -> softpatch_status {
    guard(|| {
        let context = handles::remove::<Context>(context)?;
        // Dropping a fit waits for it; not under the lock, which a detector's fit might want.
        let leftovers =
            std::mem::take(&mut *context.leftovers.lock().unwrap_or_else(PoisonError::into_inner));
        drop(leftovers);
        Ok(())
    })
}

/// What the device offers and what of it is used, as a JSON object with `adapter`, `driver`, `backend`,
/// `archetype`, `f16`, `int64`, `max_binding`, `peak_bytes` among others. Buffer and `needed` as in
/// `softpatch_detector_info_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_context_info_json(
    context: softpatch_context,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> softpatch_status {
    guard(|| {
        let context = handles::get::<Context>(context)?;
        let caps = context.device.caps();
        let json = serde_json::json!({
            "adapter": caps.adapter,
            "driver": caps.driver,
            "backend": caps.backend,
            "archetype": caps.archetype.to_string(),
            "f16": caps.f16,
            "int64": caps.int64,
            "texels": caps.texels,
            "subgroup": caps.subgroup,
            "coop": caps.coop.is_some(),
            "unchecked": caps.unchecked,
            "timestamps": caps.timestamps,
            "max_binding": caps.max_binding,
            "peak_bytes": context.device.peak_bytes(),
            "memory_budget": context.memory,
        });
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { copy_text(&json.to_string(), buffer, capacity, needed) }
    })
}
