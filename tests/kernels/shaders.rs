//! Every shader and variant is valid WGSL and translates to SPIR-V, MSL and HLSL, so that what no machine here can run is
//! at least known to compile; and what a variant asks of a device stays within WebGPU's default limits.

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use softpatch::low_level::gpu::shaders::{ALL, Shader, preprocess};

/// Workgroup memory and invocations of a workgroup that every WebGPU device has.
const WORKGROUP_BYTES: u32 = 16 * 1024;
const INVOCATIONS: u32 = 256;
const STORAGE_BUFFERS: usize = 8;

/// Whether a variant uses cooperative matrices: naga writes none in HLSL, and wgpu offers none on DX12.
fn cooperative(module: &naga::Module) -> bool {
    module.types.iter().any(|(_, t)| matches!(t.inner, naga::TypeInner::CooperativeMatrix { .. }))
}

fn each(mut f: impl FnMut(&str, &naga::Module, &ModuleInfo)) {
    let mut count = 0;
    for Shader { name, text, variants } in ALL {
        // Words of 64 bits are the device's choice, whatever the variant.
        let both = variants.iter().flat_map(|flags| [flags.to_vec(), [flags, &["INT64"][..]].concat()]);
        for flags in both {
            let label = format!("{name} {flags:?}");
            let source = preprocess(name, text, &[], &flags).unwrap();
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|e| panic!("{label}: {}", e.emit_to_string(&source)));
            let info = Validator::new(ValidationFlags::all(), Capabilities::all())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{label}: {}", e.emit_to_string(&source)));
            f(&label, &module, &info);
            count += 1;
        }
    }
    assert!(count >= ALL.iter().filter(|s| !s.name.starts_with("shared/")).count());
}

#[test]
fn translates_to_spirv() {
    each(|label, module, info| {
        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        let words = spv::write_vec(module, info, &options, None).unwrap_or_else(|e| panic!("{label}: {e}"));
        assert!(words.len() > 20, "{label}");
    });
}

#[test]
fn translates_to_msl() {
    each(|label, module, info| {
        let options =
            msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
        let (text, _) = msl::write_string(module, info, &options, &Default::default())
            .unwrap_or_else(|e| panic!("{label}: {e}"));
        assert!(text.contains("kernel void"), "{label}");
    });
}

#[test]
fn translates_to_hlsl() {
    let mut skipped = 0;
    each(|label, module, info| {
        if cooperative(module) {
            skipped += 1;
            return;
        }
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_2,
            fake_missing_bindings: true,
            ..Default::default()
        };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &Default::default())
            .write(module, info, None)
            .unwrap_or_else(|e| panic!("{label}: {e}"));
        assert!(text.contains("numthreads"), "{label}");
    });
    println!("skipped {skipped} variants with cooperative matrices, which HLSL does not have");
}

#[test]
fn stays_within_the_default_limits() {
    each(|label, module, _| {
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let (mut memory, mut buffers) = (0, 0);
        for (_, variable) in module.global_variables.iter() {
            match variable.space {
                naga::AddressSpace::WorkGroup => memory += layouter[variable.ty].size,
                naga::AddressSpace::Storage { .. } => buffers += 1,
                _ => {}
            }
        }
        // The one kernel that takes more is used where the adapter has it only.
        let most = if label.starts_with("network/gemm_coop") && label.contains("BIG") { 2 } else { 1 }
            * WORKGROUP_BYTES;
        assert!(memory <= most, "{label}: {memory} bytes of workgroup memory");
        assert!(buffers <= STORAGE_BUFFERS, "{label}: {buffers} storage buffers");
        let [main] = module.entry_points.as_slice() else { panic!("{label}: one entry point") };
        assert_eq!(main.name, "main", "{label}");
        assert!(main.workgroup_size.iter().product::<u32>() <= INVOCATIONS, "{label}");
    });
}

#[test]
fn every_file_is_listed_and_every_flag_used() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    for (prefix, folder) in [("", folder.clone()), ("shared/", folder.join("shared"))] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let name = format!("{prefix}{}", path.file_stem().unwrap().to_str().unwrap());
            assert!(ALL.iter().any(|s| s.name == name), "{name} is not in the table of shaders");
        }
    }
    for shader in ALL {
        // The flags of a shared file are those of the files that include it.
        let include = format!("//#include {}.wgsl", shader.name);
        let users: Vec<&Shader> =
            ALL.iter().filter(|s| s.name == shader.name || s.text.contains(&include)).collect();
        for line in shader.text.lines() {
            if let Some(flag) = line.trim().strip_prefix("//#if ") {
                let flag = flag.trim_start_matches('!');
                assert!(
                    flag == "INT64" || users.iter().any(|s| s.variants.iter().any(|v| v.contains(&flag))),
                    "{}: no variant sets {flag}",
                    shader.name
                );
            }
        }
    }
}

#[test]
fn the_preprocessor_refuses_what_it_does_not_know() {
    let run = |text: &str, constants: &[(&str, u32)]| preprocess("test", text, constants, &["A"]);
    assert_eq!(run("//#if A\na\n//#else\nb\n//#endif", &[]).unwrap(), "a\n");
    assert_eq!(run("//#if !A\na\n//#else\nb\n//#endif", &[]).unwrap(), "b\n");
    assert_eq!(run("//#if B\n//#if A\na\n//#endif\n//#endif", &[]).unwrap(), "");
    assert_eq!(run("const N: u32 = 4u; // comment", &[("N", 7)]).unwrap(), "const N: u32 = 7u;\n");
    assert!(run("//#if A", &[]).is_err());
    assert!(run("//#endif", &[]).is_err());
    assert!(run("//#else", &[]).is_err());
    assert!(run("//#frob", &[]).is_err());
    assert!(run("//#include shared/none.wgsl", &[]).is_err());
    assert!(run("a", &[("N", 7)]).is_err());
}
