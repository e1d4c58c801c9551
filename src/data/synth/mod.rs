//! A procedural data set: materials that look like a camera saw them, defects with exact masks, the folder
//! layout of MVTec AD. For trying the whole pipeline, for tests and for benchmarks where no real data may go.
//!
//! Everything follows from the seed: picture `index` of a split draws from its own random stream, so neither
//! the number of threads nor the other pictures change it. A mask is not drawn but measured: the scene is
//! painted with and without the defect, and the mask is where the two differ.
//!
//! ```
//! use softpatch::data::synth::{Defect, Material, render};
//!
//! let (image, mask) = render(Material::Gear, Some(Defect::Crack), 1, 128)?;
//! assert_eq!((image.width, image.height, mask.len()), (128, 128, 128 * 128));
//! assert!(mask.contains(&true));
//! # Ok::<(), softpatch::Error>(())
//! ```

mod board;
mod canvas;
mod circuit;
mod fabric;
mod flaws;
mod gear;
mod metal;
mod noise;
mod print;
mod write;

pub use write::{SynthOptions, SynthSummary, generate};

use crate::data::OwnedImage;
use crate::{Error, Result};
use canvas::{Camera, Canvas, Rgb};
use noise::{Point, stream, uniform};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// What is in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Material {
    /// Plain-woven chambray cloth with uneven threads and fuzz.
    Fabric,
    /// Brushed steel sheet with a soft specular band.
    Metal,
    /// Packaging print: fruit slices in halftone, two inks that do not register perfectly.
    Print,
    /// A turned steel gear on a conveyor belt, at any angle.
    Gear,
    /// An assembled circuit board.
    Circuit,
}

impl Material {
    /// Every material, in the order in which they are generated.
    pub const ALL: [Self; 5] = [Self::Fabric, Self::Metal, Self::Print, Self::Gear, Self::Circuit];

    /// Folder name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fabric => "fabric",
            Self::Metal => "metal",
            Self::Print => "print",
            Self::Gear => "gear",
            Self::Circuit => "circuit",
        }
    }

    /// The defects that can happen to it.
    pub const fn defects(self) -> &'static [Defect] {
        use Defect::*;
        match self {
            Self::Fabric => &[PulledThread, Hole, Stain, Fibre, Discoloration],
            Self::Metal => &[Scratch, Dent, Stain, Crack, Discoloration],
            Self::Print => &[Missing, Misprint, Scratch, Stain, Discoloration],
            Self::Gear => &[Chip, Crack, Scratch, Stain, Fibre],
            Self::Circuit => &[Missing, Misplaced, Bridge, Scratch, Fibre],
        }
    }

    fn scene(self, rng: &mut ChaCha8Rng) -> Box<dyn Scene> {
        match self {
            Self::Fabric => Box::new(fabric::Fabric::new(rng)),
            Self::Metal => Box::new(metal::Metal::new(rng)),
            Self::Print => Box::new(print::Print::new(rng)),
            Self::Gear => Box::new(gear::Gear::new(rng)),
            Self::Circuit => Box::new(circuit::Circuit::new(rng)),
        }
    }
}

impl std::fmt::Display for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Material {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidOption`] with the names that exist.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|m| m.name()).collect();
            Error::InvalidOption(format!("no material `{name}`; there are {}", names.join(", ")))
        })
    }
}

/// What is wrong with it. [`Material::defects`] says which applies where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Defect {
    /// A thread drawn out of the weave, or one much too thick.
    PulledThread,
    /// A hole with frayed edges.
    Hole,
    /// A soft spot: oil, water, ink, rust.
    Stain,
    /// A foreign hair, fibre or piece of swarf lying on top.
    Fibre,
    /// A large, faint change of colour.
    Discoloration,
    /// A long thin scratch.
    Scratch,
    /// A dent that changes only how light is thrown back.
    Dent,
    /// A branching crack.
    Crack,
    /// A motif or a component that is not there.
    Missing,
    /// A motif printed twice, shifted or smeared.
    Misprint,
    /// A piece broken off the edge.
    Chip,
    /// A component turned and shifted off its pads.
    Misplaced,
    /// Solder joining two pins.
    Bridge,
}

impl Defect {
    /// Folder name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PulledThread => "pulled_thread",
            Self::Hole => "hole",
            Self::Stain => "stain",
            Self::Fibre => "fibre",
            Self::Discoloration => "discoloration",
            Self::Scratch => "scratch",
            Self::Dent => "dent",
            Self::Crack => "crack",
            Self::Missing => "missing",
            Self::Misprint => "misprint",
            Self::Chip => "chip",
            Self::Misplaced => "misplaced",
            Self::Bridge => "bridge",
        }
    }
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One defect, drawn at random.
#[derive(Clone, Copy)]
struct Flaw {
    defect: Defect,
    /// 0 is hardly visible, 1 obvious.
    severity: f32,
    at: Point,
    seed: u32,
}

/// Colours that the defects take on a material.
struct Style {
    /// A scratch: its bottom, and its thrown-up edge.
    scratch: (Rgb, Rgb),
    /// What light a full-strength stain lets through, one of these.
    stains: &'static [Rgb],
    /// Whether stains dry to a darker rim.
    rim: bool,
    /// What light a full-strength discolouration lets through, one of these.
    tints: &'static [Rgb],
    fibres: &'static [Rgb],
    /// What shows through a hole, and the frayed ends around it.
    hole: (Rgb, Rgb),
    /// Depth and edge of a crack.
    crack: (Rgb, Rgb),
}

/// One picture's worth of a material: pose and irregularities drawn, ready to be painted any number of times.
trait Scene {
    /// Paints the material, with the flaw if it is one that changes how the material is built.
    fn paint(&self, canvas: &mut Canvas, flaw: Option<&Flaw>);

    /// Whether [`Scene::paint`] knows how to paint this defect; the others are laid over the finished
    /// picture.
    fn builds(&self, _defect: Defect) -> bool {
        false
    }

    fn style(&self) -> &Style;

    /// A place for a defect.
    fn place(&self, rng: &mut ChaCha8Rng, _defect: Defect) -> Point {
        (uniform(rng, 44.0, 212.0), uniform(rng, 44.0, 212.0))
    }

    /// How far a point belongs to the material, 0 (background) .. 1.
    fn on(&self, _x: f32, _y: f32) -> f32 {
        1.0
    }
}

/// Smallest and largest side of a picture in pixels.
const SIZES: std::ops::RangeInclusive<u32> = 64..=2048;

/// Paints one picture of `size` x `size` pixels and its mask (row-major, `size * size`, true on the defect,
/// all false without one).
///
/// The same seed with and without a defect gives the same scene, light and sensor noise: outside the mask the
/// two pictures are equal, byte for byte. How grave the defect is follows from the seed too, from obvious to
/// subtle.
///
/// # Errors
/// [`Error::InvalidOption`] where `size` is not within 64 to 2048, or the defect cannot happen to the
/// material.
pub fn render(
    material: Material,
    defect: Option<Defect>,
    seed: u64,
    size: u32,
) -> Result<(OwnedImage, Vec<bool>)> {
    if !SIZES.contains(&size) {
        return Err(Error::InvalidOption(format!(
            "size {size} is not within {} to {}",
            SIZES.start(),
            SIZES.end()
        )));
    }
    if let Some(defect) = defect.filter(|d| !material.defects().contains(d)) {
        let known: Vec<_> = material.defects().iter().map(|d| d.name()).collect();
        return Err(Error::InvalidOption(format!(
            "{material} cannot have the defect {defect}; it can have {}",
            known.join(", ")
        )));
    }
    let size = size as usize;
    let scene = material.scene(&mut stream(&[seed, 1]));
    let camera = Camera::new(&mut stream(&[seed, 2]));
    let mut clean = Canvas::new(size);
    scene.paint(&mut clean, None);
    let Some(defect) = defect else {
        return Ok((camera.expose(&clean), vec![false; size * size]));
    };
    let mut rng = stream(&[seed, 3]);
    // A defect that falls where it hardly changes anything is drawn again, more gravely each time.
    let mut best = (0, clean.clone(), vec![false; size * size]);
    let enough = size * size / 2000 + 3;
    for attempt in 0..8 {
        let flaw = Flaw {
            defect,
            severity: uniform(&mut rng, 0.12 + 0.11 * attempt as f32, 1.0),
            at: scene.place(&mut rng, defect),
            seed: rng.next_u32(),
        };
        let mut changed = clean.clone();
        if scene.builds(defect) {
            scene.paint(&mut changed, Some(&flaw));
        } else {
            flaws::apply(&mut changed, &flaw, scene.as_ref());
        }
        let (mask, visible) = clean.mask_of(&mut changed);
        if visible > best.0 {
            best = (visible, changed, mask);
        }
        if visible >= enough {
            break;
        }
    }
    Ok((camera.expose(&best.1), best.2))
}
