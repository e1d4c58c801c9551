//! A turned steel gear on a conveyor belt: bevelled edges, turning marks, six lightening holes, a bore with a
//! keyway, a soft shadow. It lies at any angle and a little off the middle.

use super::canvas::{Bounds, Canvas, Rgb, blend, dim, ink};
use super::noise::{Point, below, blob, fractal, mix, noise, noise1, step, uniform};
use super::{Defect, Flaw, Scene, Style};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use std::f32::consts::{PI, TAU};

static STYLE: Style = Style {
    scratch: (ink(0xf2f4f6), ink(0x3a3d42)),
    stains: &[ink(0xb05a1e), ink(0x7d4a26), ink(0x4c5058)],
    rim: false,
    tints: &[ink(0xe2c48c), ink(0xaab4dc)],
    fibres: &[ink(0xd8dce0), ink(0xb0672f), ink(0x1c1b1a), ink(0xc23a30)],
    hole: (ink(0x15171a), ink(0xb0b4b8)),
    crack: (ink(0x141518), ink(0xd4d8dc)),
};

const TEETH: f32 = 20.0;
const TIP: f32 = 92.0;
const ROOT: f32 = 79.0;
const HUB: f32 = 34.0;
const BORE: f32 = 17.0;
const HOLES: f32 = 6.0;
const HOLE_CIRCLE: f32 = 54.0;
const HOLE: f32 = 11.0;
/// Width of the bevel along every edge.
const BEVEL: f32 = 3.2;

pub(super) struct Gear {
    middle: Point,
    turn: f32,
    /// Where the shadow falls.
    shadow: Point,
    belt_shift: f32,
    gloss: f32,
    seed: u32,
}

/// A broken-off piece: an outline in picture units.
struct Broken {
    at: Point,
    radius: f32,
    seed: u32,
    middle: Point,
    /// Distance of `at` from the gear's middle.
    far: f32,
}

impl Broken {
    /// Signed distance to the broken piece, negative inside.
    fn distance(&self, x: f32, y: f32) -> f32 {
        let jag = 1.2 * noise(x * 0.3, y * 0.3, self.seed ^ 3);
        // Whatever lies outside the break, seen from the gear's middle, is gone with it.
        let (dx, dy) = (x - self.middle.0, y - self.middle.1);
        let pull = (self.far / (dx * dx + dy * dy).sqrt().max(1.0)).min(1.0);
        let (x, y) = (self.middle.0 + dx * pull, self.middle.1 + dy * pull);
        blob(self.at, self.radius, 0.3, self.seed)(x, y) + jag
    }
}

impl Gear {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        Self {
            middle: (uniform(rng, 121.0, 135.0), uniform(rng, 121.0, 135.0)),
            turn: uniform(rng, 0.0, TAU),
            shadow: (uniform(rng, 4.0, 6.5), uniform(rng, 5.5, 8.5)),
            belt_shift: uniform(rng, 0.0, 100.0),
            gloss: uniform(rng, 0.9, 1.1),
            seed: rng.next_u32(),
        }
    }

    /// Signed distance to the gear's outline with its holes, negative on metal.
    fn distance(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - self.middle.0, y - self.middle.1);
        let r = (dx * dx + dy * dy).sqrt();
        let angle = dy.atan2(dx) - self.turn;
        let outer = if r > ROOT - 8.0 {
            // Teeth: a rounded trapezoid; its slope keeps the distance honest on the flanks.
            let phase = (angle * TEETH / TAU).rem_euclid(1.0);
            let from_middle = (phase - 0.5).abs();
            let rise = step(0.335, 0.185, from_middle);
            let flank = 1.0 + 4.4 * rise * (1.0 - rise);
            (r - mix(ROOT, TIP, rise)) / flank
        } else {
            r - ROOT
        };
        let mut inner = BORE - r;
        let (sin, cos) = angle.sin_cos();
        let key = ((r * cos - BORE).abs() - 5.0).max((r * sin).abs() - 4.2);
        inner = inner.max(-key);
        if (r - HOLE_CIRCLE).abs() < HOLE + 12.0 {
            let sector = TAU / HOLES;
            let off = angle.rem_euclid(sector) - sector * 0.5;
            let (sin, cos) = off.sin_cos();
            let far = ((r * cos - HOLE_CIRCLE).powi(2) + (r * sin).powi(2)).sqrt();
            inner = inner.max(HOLE - far);
        }
        outer.max(inner)
    }

    fn broken(&self, flaw: &Flaw) -> Broken {
        // The flank of a tooth near the place drawn.
        let angle = (flaw.at.1 - self.middle.1).atan2(flaw.at.0 - self.middle.0) - self.turn;
        let tooth = (angle * TEETH / TAU).floor() + 0.5 + 0.2 * (flaw.seed % 3) as f32 - 0.2;
        let angle = tooth * TAU / TEETH + self.turn;
        let radius = mix(3.4, 12.0, flaw.severity);
        let far = TIP - mix(0.5, 3.5, flaw.severity);
        let at = (self.middle.0 + angle.cos() * far, self.middle.1 + angle.sin() * far);
        Broken { at, radius, seed: flaw.seed, middle: self.middle, far }
    }

    fn belt(&self, x: f32, y: f32) -> Rgb {
        let y = y + self.belt_shift;
        // A fine diamond emboss.
        let (s, t) = ((x + y) * 0.62, (x - y) * 0.62);
        let emboss = s.sin() * t.sin();
        let grain =
            0.10 * noise(x * 0.9, y * 0.9, self.seed) + 0.12 * fractal(x * 0.02, y * 0.05, 2, self.seed);
        dim(ink(0x41584f), 1.0 + 0.16 * emboss + grain)
    }

    /// Steel at a place: face, hub and bevels, lit from the upper left.
    fn steel(&self, x: f32, y: f32, depth: f32, distance: impl Fn(f32, f32) -> f32) -> Rgb {
        let (dx, dy) = (x - self.middle.0, y - self.middle.1);
        let r = (dx * dx + dy * dy).sqrt();
        let angle = dy.atan2(dx);
        let marks = 0.55 * noise1(r * 1.3, 1, self.seed) + 0.45 * noise(r * 0.8, angle * 3.0, self.seed ^ 1);
        // Turned faces throw light back in two opposite fans.
        let fan = (angle - 0.9).cos().powi(2).powi(3) + 0.35 * (angle - 2.6).cos().powi(2).powi(4);
        let mut level = 0.26 + 0.24 * fan * self.gloss + marks * (0.045 + 0.05 * fan);
        if r < HUB + 1.5 {
            let lit = -(dx * 0.6 + dy * 0.8) / r.max(1.0);
            // The hub stands up: bright and dark along its rim.
            let rim = step(2.2, 0.0, (r - HUB).abs());
            level += 0.05 + 0.26 * lit * rim;
        } else if r < HUB + 9.0 {
            let lit = (dx * 0.6 + dy * 0.8) / r;
            level *= 1.0 - 0.28 * step(HUB + 9.0, HUB + 1.5, r) * (0.4 + 0.6 * lit).max(0.0);
        }
        if depth > -BEVEL {
            let h = 0.4;
            let (nx, ny) = (distance(x + h, y) - distance(x - h, y), distance(x, y + h) - distance(x, y - h));
            let norm = (nx * nx + ny * ny).sqrt().max(1e-3);
            let lit = -(nx * 0.6 + ny * 0.8) / norm;
            let wall = 0.33 + 0.27 * lit + 0.03 * marks;
            level = mix(level, wall, step(-BEVEL, -BEVEL + 0.9, depth));
        }
        dim([0.98, 1.0, 1.03], level.max(0.02))
    }
}

impl Scene for Gear {
    fn paint(&self, canvas: &mut Canvas, flaw: Option<&Flaw>) {
        let broken = flaw.map(|flaw| self.broken(flaw));
        let outline = |x: f32, y: f32| {
            let whole = self.distance(x, y);
            match &broken {
                Some(b) if (x - b.at.0).abs() + (y - b.at.1).abs() < b.radius * 3.0 + 8.0 => {
                    whole.max(-b.distance(x, y))
                }
                _ => whole,
            }
        };
        let unit = canvas.unit;
        canvas.edit(Bounds::ALL, |x, y, pixel| {
            let d = outline(x, y);
            let cover = (0.5 - d * unit).clamp(0.0, 1.0);
            let mut colour = [0.0; 3];
            if cover < 1.0 {
                let far = outline(x - self.shadow.0, y - self.shadow.1);
                let shade = 0.60 * step(7.0, -7.0, far);
                let touch = 0.35 * step(5.0, 0.0, d);
                colour = dim(self.belt(x, y), (1.0 - shade) * (1.0 - touch));
            }
            if cover > 0.0 {
                let mut steel = self.steel(x, y, d, outline);
                if let Some(b) = &broken {
                    let depth = b.distance(x, y);
                    if depth < 4.5 {
                        // The fracture: rough, matt, brighter towards its edge.
                        let rough = 0.27
                            + 0.09 * noise(x * 0.5, y * 0.5, b.seed)
                            + 0.07 * noise(x * 1.7, y * 1.7, b.seed);
                        steel = blend(steel, dim([1.0, 0.98, 0.95], rough.max(0.05)), step(4.5, 2.5, depth));
                    }
                }
                colour = blend(colour, steel, cover);
            }
            *pixel = colour;
        });
    }

    fn builds(&self, defect: Defect) -> bool {
        defect == Defect::Chip
    }

    fn style(&self) -> &Style {
        &STYLE
    }

    fn place(&self, rng: &mut ChaCha8Rng, defect: Defect) -> Point {
        // On metal, off the holes: the ring inside the teeth or the web between two holes.
        let sector = TAU / HOLES;
        let (r, angle) = match (defect, below(rng, 3)) {
            (Defect::Chip, _) => (TIP, uniform(rng, 0.0, TAU)),
            (_, 0) => {
                let spoke = (below(rng, HOLES as usize) as f32) * sector + self.turn;
                (uniform(rng, 42.0, 66.0), spoke + uniform(rng, -0.12, 0.12))
            }
            _ => (uniform(rng, 68.0, 75.0), uniform(rng, -PI, PI)),
        };
        (self.middle.0 + angle.cos() * r, self.middle.1 + angle.sin() * r)
    }

    fn on(&self, x: f32, y: f32) -> f32 {
        step(0.8, -0.8, self.distance(x, y))
    }
}
