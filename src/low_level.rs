//! The rooms below the detector, for tests, benches and the curious: everything here may change with any
//! release.

#[path = "backbone/mod.rs"]
pub mod backbone;
#[path = "bank/mod.rs"]
pub mod bank;
#[path = "cases/mod.rs"]
pub mod cases;
#[path = "gpu/mod.rs"]
pub mod gpu;
#[path = "process.rs"]
pub mod process;
#[path = "reference/mod.rs"]
pub mod reference;
#[path = "roofline/mod.rs"]
pub mod roofline;
#[path = "shapes.rs"]
pub mod shapes;
#[path = "steps/mod.rs"]
pub mod steps;

/// Every kernel of the library: those of the steps, and those that say what an adapter can do.
pub fn shaders() -> Vec<&'static gpu::Shader> {
    [steps::shaders(), gpu::shaders(), roofline::shaders()].concat()
}
