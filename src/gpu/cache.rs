//! Compiled pipelines in a file, from one run of a program to the next.

use crate::files;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Larger files are not ours.
const MOST: u64 = 256 << 20;

/// The driver's cache and its file, which is written when the last device that uses it goes. Whatever goes
/// wrong with the file is no error: pipelines are built all the same.
pub(super) struct PipelineCache {
    pub wgpu: wgpu::PipelineCache,
    file: PathBuf,
    /// Whether pipelines were built that the file may not have.
    grown: AtomicBool,
}

impl PipelineCache {
    /// The cache of this adapter in `folder`; `None` where the device has no such thing.
    pub fn open(device: &wgpu::Device, folder: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = folder.join(wgpu::util::pipeline_cache_key(&device.adapter_info())?);
        let read = std::fs::metadata(&file).and_then(|meta| {
            if meta.len() > MOST {
                Err(std::io::ErrorKind::FileTooLarge.into())
            } else {
                std::fs::read(&file)
            }
        });
        let data = read.inspect_err(|e| tracing::debug!("{}: {e}", file.display())).ok();
        let make = |data: Option<&[u8]>| {
            // Damaged and outdated data is passed over; that of another device or driver is an error of the
            // device, which would end the process where nobody catches it.
            let descriptor = wgpu::PipelineCacheDescriptor { label: Some("softpatch"), data, fallback: true };
            let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
            // SAFETY: the file is written by `save` alone, from what `get_data` gave for this adapter; wgpu
            // checks length and hash-like header of it (adapter, driver, format) before a driver sees it, and
            // drivers check their own part.
            let wgpu = unsafe { device.create_pipeline_cache(&descriptor) };
            pollster::block_on(scope.pop()).is_none().then_some(wgpu)
        };
        let wgpu = make(data.as_deref()).or_else(|| {
            tracing::debug!("{}: of another device or driver", file.display());
            // A file of the same length would be taken for the same, and stay.
            let _ = std::fs::remove_file(&file);
            make(None)
        })?;
        Some(Self { wgpu, file, grown: AtomicBool::new(false) })
    }

    /// Says that a pipeline was built.
    pub fn grew(&self) {
        self.grown.store(true, Ordering::Relaxed);
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self) {
        if !self.grown.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(data) = self.wgpu.get_data() else { return };
        if std::fs::metadata(&self.file).is_ok_and(|meta| meta.len() == data.len() as u64) {
            // Nothing new: drivers add pipelines and take none away.
            return;
        }
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| files::replace(&self.file, &data, files::Sync::System));
        match written {
            Ok(()) => tracing::debug!("{}: {} bytes of pipelines", self.file.display(), data.len()),
            Err(e) => tracing::debug!("{}: {e}", self.file.display()),
        }
    }
}

impl Drop for PipelineCache {
    fn drop(&mut self) {
        self.save();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Option<wgpu::Device> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let all = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
        let adapter = all.first()?;
        let required_features = adapter.features() & wgpu::Features::PIPELINE_CACHE;
        let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
        pollster::block_on(adapter.request_device(&descriptor)).ok().map(|(device, _)| device)
    }

    #[test]
    fn a_file_is_written_and_a_damaged_one_passed_over() {
        let Some(device) = device() else {
            println!("skipped: no Vulkan adapter");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("not/there/yet");
        let cache = PipelineCache::open(&device, &inner).unwrap();
        cache.save();
        assert!(!cache.file.exists(), "no pipeline was built");
        cache.grew();
        cache.save();
        let written = std::fs::read(&cache.file).unwrap();
        assert!(!written.is_empty());
        let entries = std::fs::read_dir(&inner).unwrap().count();
        assert_eq!(entries, 1, "nothing is left over");
        for damaged in [&b""[..], b"not a cache", &written[..written.len() / 2]] {
            std::fs::write(&cache.file, damaged).unwrap();
            let cache = PipelineCache::open(&device, &inner).unwrap();
            cache.grew();
            cache.save();
            assert_eq!(std::fs::read(&cache.file).unwrap(), written);
        }
        // Whatever byte is wrong of wgpu's header and the driver's, and wherever the file ends.
        for at in 0..written.len().min(128) {
            let mut damaged = written.clone();
            damaged[at] ^= 0x55;
            for damaged in [damaged.as_slice(), &written[..at]] {
                std::fs::write(&cache.file, damaged).unwrap();
                let cache = PipelineCache::open(&device, &inner).unwrap();
                assert!(cache.wgpu.get_data().is_some_and(|data| !data.is_empty()), "{at}");
            }
        }
        // A folder that cannot be: a file is in its place.
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let cache = PipelineCache::open(&device, &file).unwrap();
        cache.grew();
        cache.save();
    }
}
