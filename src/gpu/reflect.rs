//! What an entry point needs, read from the module that naga makes of a text.

use super::kernel::{Binding, Kind};
use crate::{Error, Result};
use std::collections::BTreeMap;
use wgpu::naga::{
    AddressSpace, ArraySize, Block, Expression, Function, GlobalVariable, Handle, ImageClass, Module,
    Statement, StorageAccess, StorageFormat, Type, TypeInner, proc::Layouter,
};

/// What an entry point needs.
#[derive(Debug)]
pub(super) struct Needs {
    /// By number.
    pub bindings: Vec<Binding>,
    /// Bytes of `var<workgroup>`; wgpu 30 does not hold them against the limit itself.
    pub workgroup_bytes: u32,
}

/// What `entry` of `module` needs: only what it, or a function that it calls, uses.
///
/// # Errors
/// [`Error::Device`] that names the shader where there is no such entry point, or its bindings are not group
/// 0's from 0 on.
pub(super) fn needs(label: &str, module: &Module, entry: &str) -> Result<Needs> {
    let fail = |why: String| Error::Device(format!("shader {label}: {why}"));
    let point = module.entry_points.iter().find(|point| point.name == entry);
    let point = point.ok_or_else(|| fail(format!("no entry point is named {entry}")))?;
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).map_err(|e| fail(e.to_string()))?;
    let mut used = Vec::new();
    globals(module, &point.function, &mut used);
    let (mut bindings, mut workgroup_bytes) = (BTreeMap::new(), 0);
    for variable in used.into_iter().map(|handle| &module.global_variables[handle]) {
        let kind = match variable.space {
            AddressSpace::Uniform => Kind::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Kind::ReadWrite,
            AddressSpace::Storage { .. } => Kind::Read,
            AddressSpace::WorkGroup => {
                workgroup_bytes += layouter[variable.ty].size;
                continue;
            }
            AddressSpace::Handle => match module.types[variable.ty].inner {
                TypeInner::Image { class: ImageClass::Storage { format, .. }, .. } => {
                    Kind::Texels { f16: format == StorageFormat::Rgba16Float }
                }
                _ => continue,
            },
            _ => continue,
        };
        let name = variable.name.as_deref().unwrap_or_default();
        let at = variable.binding.filter(|at| at.group == 0);
        let at = at.ok_or_else(|| fail(format!("{name} is not in group 0")))?;
        let sized = !matches!(kind, Kind::Texels { .. }) && !grows(module, variable.ty);
        let bytes = sized.then(|| layouter[variable.ty].size);
        if bindings.insert(at.binding, Binding { kind, bytes }).is_some() {
            return Err(fail(format!("{entry} uses two variables at binding {}", at.binding)));
        }
    }
    if let Some((gap, _)) = (0..).zip(bindings.keys()).find(|(i, number)| i != *number) {
        return Err(fail(format!("{entry} uses nothing at binding {gap}, but something behind it")));
    }
    Ok(Needs { bindings: bindings.into_values().collect(), workgroup_bytes })
}

/// Adds the variables that `function` and those that it calls use, each once. WGSL has no recursion.
fn globals(module: &Module, function: &Function, used: &mut Vec<Handle<GlobalVariable>>) {
    for (_, expression) in function.expressions.iter() {
        if let Expression::GlobalVariable(handle) = expression
            && !used.contains(handle)
        {
            used.push(*handle);
        }
    }
    let mut blocks: Vec<&Block> = vec![&function.body];
    while let Some(block) = blocks.pop() {
        for statement in block {
            match statement {
                Statement::Call { function, .. } => globals(module, &module.functions[*function], used),
                Statement::Block(block) => blocks.push(block),
                Statement::If { accept, reject, .. } => blocks.extend([accept, reject]),
                Statement::Switch { cases, .. } => blocks.extend(cases.iter().map(|case| &case.body)),
                Statement::Loop { body, continuing, .. } => blocks.extend([body, continuing]),
                _ => {}
            }
        }
    }
}

/// Whether a type is as long as the buffer that is bound.
fn grows(module: &Module, ty: Handle<Type>) -> bool {
    match &module.types[ty].inner {
        TypeInner::Array { size, .. } => matches!(size, ArraySize::Dynamic),
        TypeInner::Struct { members, .. } => members.last().is_some_and(|last| grows(module, last.ty)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        struct Params { n: u32, at: vec2<u32> }
        struct State { count: u32, bins: array<atomic<u32>, 4> }
        @group(0) @binding(0) var<storage, read> x: array<f32>;
        @group(0) @binding(1) var<storage, read_write> state: State;
        @group(0) @binding(1) var<storage, read_write> y: array<f32>;
        @group(0) @binding(2) var<uniform> p: Params;
        @group(1) @binding(0) var<storage, read> other: array<f32>;
        var<workgroup> all: array<u32, 8>;
        fn deep() { if (p.n > 0u) { atomicAdd(&state.bins[0], u32(x[0])); } }
        fn calls() { loop { deep(); break; } }
        @compute @workgroup_size(1) fn through() { calls(); }
        @compute @workgroup_size(1) fn plain() { y[0] = x[0]; all[0] = 1u; }
        @compute @workgroup_size(1) fn gap() { y[0] = f32(p.n); }
        @compute @workgroup_size(1) fn twice() { y[0] = x[0]; state.count = 1u; }
        @compute @workgroup_size(1) fn elsewhere() { y[0] = other[0]; }
    ";

    #[test]
    fn bindings_are_those_that_an_entry_point_uses() {
        let module = wgpu::naga::front::wgsl::parse_str(TEXT).unwrap();
        let of = |entry| needs("test", &module, entry);
        let [read, written] = [Kind::Read, Kind::ReadWrite].map(|kind| Binding { kind, bytes: None });
        let through = of("through").unwrap();
        let state = Binding { kind: Kind::ReadWrite, bytes: Some(20) };
        assert_eq!(through.bindings, [read, state, Binding { kind: Kind::Uniform, bytes: Some(16) }]);
        assert_eq!(through.workgroup_bytes, 0);
        let plain = of("plain").unwrap();
        assert_eq!((plain.bindings, plain.workgroup_bytes), (vec![read, written], 32));
        for (entry, why) in [
            ("gap", "gap uses nothing at binding 0"),
            ("twice", "two variables at binding 1"),
            ("elsewhere", "other is not in group 0"),
            ("nothing", "no entry point is named nothing"),
        ] {
            let error = of(entry).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("shader test"), "{error}");
        }
    }
}
