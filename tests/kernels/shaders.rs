//! Every shader and variant is valid WGSL and translates to SPIR-V, MSL and HLSL, so that what no machine
//! here can run is at least known to compile; and what a variant asks of a device stays within WebGPU's
//! default limits.

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use softpatch::low_level::gpu::Shader;
use softpatch::low_level::shaders;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Workgroup memory and invocations of a workgroup that every WebGPU device has.
const WORKGROUP_BYTES: u32 = 16 * 1024;
const INVOCATIONS: u32 = 256;
const STORAGE_BUFFERS: usize = 8;

/// Whether a variant uses cooperative matrices: naga writes none in HLSL, and wgpu offers none on DX12.
fn cooperative(module: &naga::Module) -> bool {
    module.types.iter().any(|(_, t)| matches!(t.inner, naga::TypeInner::CooperativeMatrix { .. }))
}

fn each(mut f: impl FnMut(&str, &Shader, &naga::Module, &ModuleInfo)) {
    for shader in shaders() {
        // Words of 64 bits are the device's choice, whatever the variant.
        let both =
            shader.variants.iter().flat_map(|flags| [flags.to_vec(), [flags, &["INT64"][..]].concat()]);
        // Textures are read beside such words alone.
        let wide = |flags: &Vec<&str>| !flags.contains(&"TEXELS") || flags.contains(&"INT64");
        for flags in both.filter(wide) {
            let label = format!("{} {flags:?}", shader.label());
            let source = shader.source(&[], &flags).unwrap();
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|e| panic!("{label}: {}", e.emit_to_string(&source)));
            let info = Validator::new(ValidationFlags::all(), Capabilities::all())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{label}: {}", e.emit_to_string(&source)));
            f(&label, shader, &module, &info);
        }
    }
}

#[test]
fn translates_to_spirv() {
    each(|label, shader, module, info| {
        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        let pipeline = spv::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: shader.entry.to_owned(),
        };
        let words = spv::write_vec(module, info, &options, Some(&pipeline))
            .unwrap_or_else(|e| panic!("{label}: {e}"));
        assert!(words.len() > 20, "{label}");
    });
}

#[test]
fn translates_to_msl() {
    each(|label, shader, module, info| {
        let options =
            msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
        let pipeline = msl::PipelineOptions {
            entry_point: Some((naga::ShaderStage::Compute, shader.entry.to_owned())),
            ..Default::default()
        };
        let (text, _) =
            msl::write_string(module, info, &options, &pipeline).unwrap_or_else(|e| panic!("{label}: {e}"));
        assert_eq!(text.matches("kernel void").count(), 1, "{label}");
    });
}

#[test]
fn translates_to_hlsl() {
    let mut skipped = 0;
    each(|label, shader, module, info| {
        if cooperative(module) {
            skipped += 1;
            return;
        }
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_2,
            fake_missing_bindings: true,
            ..Default::default()
        };
        let pipeline = hlsl::PipelineOptions {
            entry_point: Some((naga::ShaderStage::Compute, shader.entry.to_owned())),
        };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(module, info, None)
            .unwrap_or_else(|e| panic!("{label}: {e}"));
        assert_eq!(text.matches("numthreads").count(), 1, "{label}");
    });
    println!("skipped {skipped} variants with cooperative matrices, which HLSL does not have");
}

/// What the library checks as it builds a pipeline, of the variants, too, that no adapter here can choose.
#[test]
fn bindings_are_numbered_from_0_on_and_the_uniform_is_last() {
    each(|label, shader, module, info| {
        let at = module.entry_points.iter().position(|e| e.name == shader.entry).unwrap();
        let uses = info.get_entry_point(at);
        let bound = module.global_variables.iter().filter(|(handle, _)| !uses[*handle].is_empty());
        let mut found: Vec<(u32, u32, bool)> = bound
            .filter_map(|(_, v)| {
                let at = v.binding?;
                Some((at.group, at.binding, v.space == naga::AddressSpace::Uniform))
            })
            .collect();
        found.sort_unstable();
        let last = found.len() - 1;
        for (i, (group, binding, uniform)) in found.iter().enumerate() {
            assert_eq!((*group, *binding), (0, i as u32), "{label}: {found:?}");
            assert!(!uniform || i == last, "{label}: {found:?}");
        }
    });
}

#[test]
fn stays_within_the_default_limits() {
    each(|label, shader, module, info| {
        let at = module.entry_points.iter().position(|e| e.name == shader.entry).unwrap();
        let uses = info.get_entry_point(at);
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let (mut memory, mut buffers) = (0, 0);
        for (handle, variable) in module.global_variables.iter() {
            match variable.space {
                _ if uses[handle].is_empty() => {}
                naga::AddressSpace::WorkGroup => memory += layouter[variable.ty].size,
                naga::AddressSpace::Storage { .. } => buffers += 1,
                _ => {}
            }
        }
        // The one kernel that takes more with its larger tiles is used where the adapter has it only.
        let more = label.starts_with("network/gemm_coop") && !label.contains("SMALL");
        let most = if more { 2 } else { 1 } * WORKGROUP_BYTES;
        assert!(memory <= most, "{label}: {memory} bytes of workgroup memory");
        assert!(buffers <= STORAGE_BUFFERS, "{label}: {buffers} storage buffers");
        let size = module.entry_points[at].workgroup_size;
        assert!(size.iter().product::<u32>() <= INVOCATIONS, "{label}");
    });
}

/// Paths under `shaders/` without endings.
fn files(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_stem().unwrap().to_str().unwrap());
        match path.is_dir() {
            true => files(&path, &format!("{name}/"), found),
            false => assert!(found.insert(name)),
        }
    }
}

#[test]
fn every_file_and_entry_point_is_declared_once_and_every_flag_used() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut there = BTreeSet::new();
    files(&folder, "", &mut there);
    // Declared entry points of every file, and the variants that there are of a text, those of its users for
    // a shared one.
    let mut entries: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut variants: BTreeMap<String, Vec<&[&str]>> = BTreeMap::new();
    for shader in shaders() {
        assert!(entries.entry(shader.name).or_default().insert(shader.entry), "{} twice", shader.label());
        let texts = shader.shared.iter().map(|(name, _)| format!("shared/{name}"));
        for text in texts.chain([shader.name.to_owned()]) {
            variants.entry(text).or_default().extend(shader.variants);
        }
        for (name, _) in shader.shared {
            let include = format!("//#include shared/{name}.wgsl");
            assert!(shader.text.contains(&include), "{} does not include {name}", shader.label());
        }
        for flag in shader.variants.iter().copied().flatten() {
            assert!(shader.asks_for(flag), "{}: nothing asks for {flag}", shader.label());
        }
    }
    let declared: BTreeSet<String> = variants.keys().cloned().collect();
    assert_eq!(there, declared, "files under shaders/, and those that steps declare or include");
    for (name, declared) in &entries {
        let path = folder.join(name).with_extension("wgsl");
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let kernels = lines.iter().enumerate().filter(|(_, line)| line.starts_with("@compute"));
        let there: BTreeSet<&str> = kernels
            .map(|(i, _)| {
                let head = lines[i..].iter().find_map(|line| line.strip_prefix("fn ")).unwrap();
                head.split('(').next().unwrap()
            })
            .collect();
        assert_eq!(&there, declared, "entry points of {name}");
    }
    for (name, variants) in variants {
        let text = std::fs::read_to_string(folder.join(&name).with_extension("wgsl")).unwrap();
        for line in text.lines() {
            if let Some(flag) = line.trim().strip_prefix("//#if ") {
                let flag = flag.trim_start_matches('!');
                let used = flag == "INT64" || variants.iter().any(|v| v.contains(&flag));
                assert!(used, "{name}: no variant sets {flag}");
            }
        }
    }
}

#[test]
fn the_preprocessor_refuses_what_it_does_not_know() {
    let run = |text: &'static str, constants: &[(&str, u32)]| {
        let shared = &[("some", "s")];
        Shader { name: "test", entry: "main", text, shared, variants: &[] }.source(constants, &["A"])
    };
    assert_eq!(run("//#if A\na\n//#else\nb\n//#endif", &[]).unwrap(), "a\n");
    assert_eq!(run("//#if !A\na\n//#else\nb\n//#endif", &[]).unwrap(), "b\n");
    assert_eq!(run("//#if B\n//#if A\na\n//#endif\n//#endif", &[]).unwrap(), "");
    assert_eq!(run("const N: u32 = 4u; // comment", &[("N", 7)]).unwrap(), "const N: u32 = 7u;\n");
    assert_eq!(run("//#include shared/some.wgsl", &[]).unwrap(), "s\n");
    assert!(run("//#if A", &[]).is_err());
    assert!(run("//#endif", &[]).is_err());
    assert!(run("//#else", &[]).is_err());
    assert!(run("//#frob", &[]).is_err());
    assert!(run("//#include shared/none.wgsl", &[]).is_err());
    assert!(run("a", &[("N", 7)]).is_err());
}
