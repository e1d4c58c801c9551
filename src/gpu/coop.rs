//! Cooperative matrices: which an adapter has, and how many lanes hold one.

use super::caps::Coop;
use super::device::Device;
use super::recorder::Recorder;
use super::shader::{Shader, shader};
use crate::Result;

/// What an adapter offers of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    side: u32,
    /// Smallest and largest subgroup that a pipeline may get.
    lanes: (u32, u32),
}

/// Multiplies fragments in every subgroup of a workgroup, and says what the subgroups are.
static CHECK: Shader = shader!(
    "device/coop_check",
    shared: ["fragments"],
    variants: [[], ["EIGHT"], ["SOFT"], ["EIGHT", "SOFT"]]
);

/// The kernels of this folder.
pub fn shaders() -> Vec<&'static Shader> {
    vec![&CHECK]
}

/// Subgroups of a workgroup, as the shaders have them.
const SUBGROUPS: u32 = 4;

/// A row of a tile is staged in whole fragments, for which fewer lanes are too few and more too many.
const LANES: std::ops::RangeInclusive<u32> = 16..=64;

impl Offer {
    /// The cooperative matrices of `adapter` that the kernels can use: f16 operands, f32 sums, a fragment of
    /// 16 or 8 on every side.
    pub fn of(adapter: &wgpu::Adapter, features: wgpu::Features) -> Option<Self> {
        let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SUBGROUP;
        if !features.contains(needed) {
            return None;
        }
        let info = adapter.get_info();
        let lanes = match info.backend {
            // wgpu gives a range there, but every GPU with simdgroup matrices has 32.
            wgpu::Backend::Metal => (32, 32),
            _ => (info.subgroup_min_size, info.subgroup_max_size),
        };
        let offered = adapter.cooperative_matrix_properties();
        let offers = |side: u32| {
            offered.iter().any(|p| {
                [p.m_size, p.n_size, p.k_size] == [side; 3]
                    && p.ab_type == wgpu::CooperativeScalarType::F16
                    && p.cr_type == wgpu::CooperativeScalarType::F32
            })
        };
        let side = [16, 8].into_iter().find(|&side| offers(side))?;
        Some(Self { side, lanes })
    }

    /// What the kernels may use of it on `device`. Where the adapter leaves the size of subgroups open, each
    /// possible one is tried in a workgroup as the kernels have it: the size that the driver chose is used,
    /// if the product of two fragments is right with it.
    pub fn settle(self, device: &Device) -> Option<Coop> {
        let coop = |lanes| Coop { side: self.side, lanes, emulated: false };
        let (least, most) = self.lanes;
        if least == most {
            return LANES.contains(&least).then_some(coop(least));
        }
        let fits = |lanes: &u32| (least..=most).contains(lanes) && LANES.contains(lanes);
        [64, 32, 16].into_iter().filter(fits).map(coop).find(|&coop| {
            let works = works(device, coop);
            tracing::debug!(?coop, ?works, "cooperative matrices");
            works.unwrap_or(false)
        })
    }
}

/// Whether subgroups are as `coop` says in a workgroup as the kernels have it, and multiply right.
pub(super) fn works(device: &Device, coop: Coop) -> Result<bool> {
    let side = coop.side as usize;
    // Neither symmetric nor alike, exact in f16, and so are their products' sums in f32.
    let x: Vec<f32> = (0..side * side).map(|i| (i * 7 % 31) as f32 - 11.0).collect();
    let w: Vec<f32> = (0..side * side).map(|i| (i * 13 % 29) as f32 - 17.0).collect();
    let row = |m: &[f32], i: usize| m[i * side..(i + 1) * side].to_vec();
    let dot = |i: usize| -> f32 {
        row(&x, i / side).iter().zip(row(&w, i % side)).map(|(a, b)| a * b).sum::<f32>() * 2.0
    };
    let want: Vec<f32> = (0..side * side).map(dot).collect();
    let mut flags = Vec::new();
    flags.extend((coop.side == 8).then_some("EIGHT"));
    flags.extend(coop.emulated.then_some("SOFT"));
    let invocations = SUBGROUPS * coop.lanes;
    if invocations > device.caps().max_invocations {
        return Ok(false);
    }
    let kernel = device.kernel(&CHECK, &[("LANES", coop.lanes)], &flags)?;
    let (x, w) = (device.upload(&x, "x")?, device.upload(&w, "w")?);
    let c = device.alloc(SUBGROUPS as usize * side * side, "c")?;
    let seats = device.alloc(4 * invocations as usize, "seats")?;
    let mut recorder = Recorder::new(device);
    recorder.dispatch(&kernel, "", &[&x, &w, &c, &seats], &(), [1, 1, 1])?;
    recorder.run()?;
    let mut seats: Vec<[u32; 4]> = device.read(&seats)?;
    seats.sort_unstable();
    let each = (0..SUBGROUPS).flat_map(|s| (0..coop.lanes).map(move |lane| [coop.lanes, s, lane, 1]));
    let products: Vec<f32> = device.read(&c)?;
    Ok(seats.into_iter().eq(each) && products.chunks_exact(side * side).all(|p| p == want))
}

#[cfg(test)]
mod tests {
    use super::super::caps::Archetype;
    use super::super::options::DeviceOptions;
    use super::*;

    #[test]
    fn sizes_that_the_driver_does_not_give_are_refused() {
        let options = DeviceOptions { archetype: Some(Archetype::Tiled), ..DeviceOptions::default() };
        let device = Device::open(&options).unwrap();
        if !device.caps().f16 {
            println!("skipped: no arithmetic in f16");
            return;
        }
        for side in [8, 16] {
            // Emulated ones work whatever the size; those of another side do not fit the data.
            for lanes in [16, 32] {
                assert!(works(&device, Coop { side, lanes, emulated: true }).unwrap(), "{side} {lanes}");
            }
        }
        let offer = |least, most| Offer { side: 16, lanes: (least, most) };
        assert_eq!(offer(32, 32).settle(&device).map(|c| c.lanes), Some(32));
        assert_eq!(offer(8, 8).settle(&device), None, "too few for a row of a tile");
        assert_eq!(offer(128, 128).settle(&device), None);
        // An adapter without such matrices refuses the shader: not a panic, and not a matrix.
        if device.caps().coop.is_none() {
            assert_eq!(offer(8, 64).settle(&device), None);
        }
    }
}
