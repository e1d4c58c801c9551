//! Packaging print: citrus slices in two inks on coated board. The flesh is a halftone at 45 degrees, the
//! second ink (leaves, dots) is registered a little off, differently in every picture.

use super::canvas::{Bounds, Canvas, Rgb, dim, filter, ink};
use super::noise::{Point, fractal, hash, mix, noise, step, uniform};
use super::{Defect, Flaw, Scene, Style};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use std::f32::consts::{FRAC_1_SQRT_2, PI, TAU};

static STYLE: Style = Style {
    scratch: (ink(0xe4ded0), ink(0x625c55)),
    stains: &[ink(0x5a6fa0), ink(0x8d6a43), ink(0x6a6a6a)],
    rim: true,
    tints: &[ink(0xf2dfae), ink(0xd0dcec), ink(0xf0d2cc)],
    fibres: &[ink(0x2a2522), ink(0x6b4a33)],
    hole: (ink(0x3a3631), ink(0xeae4d8)),
    crack: (ink(0x4b453d), ink(0xfaf7f0)),
};

const PITCH: f32 = 52.0;
const RADIUS: f32 = 16.5;
/// What one layer of ink lets through.
const ORANGE: Rgb = ink(0xf58220);
const GREEN: Rgb = ink(0x3f8f4a);
/// Distance of halftone dots in units.
const SCREEN: f32 = 3.6;

pub(super) struct Print {
    turn: (f32, f32),
    offset: Point,
    register: Point,
    density: f32,
    seed: u32,
}

/// A motif that came out wrong.
enum Wrong {
    /// Not printed where noise around the motif is below `level` (2 leaves nothing): orange, green or both.
    Missing { cell: (i32, i32), level: f32, orange: bool, green: bool },
    /// Printed a second time, shifted.
    Ghost { cell: (i32, i32), shift: Point, strength: f32 },
    /// Ink dragged along while wet.
    Smear { cell: (i32, i32), shift: Point, strength: f32 },
}

impl Print {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        Self {
            turn: uniform(rng, -0.035, 0.035).sin_cos(),
            offset: (uniform(rng, -7.0, 7.0), uniform(rng, -7.0, 7.0)),
            register: (uniform(rng, -0.8, 0.8), uniform(rng, -0.8, 0.8)),
            density: uniform(rng, 0.94, 1.0),
            seed: rng.next_u32(),
        }
    }

    /// Position on the sheet.
    fn sheet(&self, x: f32, y: f32) -> Point {
        let (sin, cos) = self.turn;
        let (x, y) = (x - 128.0, y - 128.0);
        (x * cos + y * sin + self.offset.0 + 512.0, y * cos - x * sin + self.offset.1 + 512.0)
    }

    /// The cell of the staggered grid that holds a place, and where in it the place lies.
    fn cell(u: f32, v: f32) -> ((i32, i32), Point) {
        let row = (v / PITCH).floor();
        let shift = if row as i32 & 1 == 0 { 0.0 } else { PITCH * 0.5 };
        let column = ((u - shift) / PITCH).floor();
        let at = (u - shift - (column + 0.5) * PITCH, v - (row + 0.5) * PITCH);
        ((column as i32, row as i32), at)
    }

    /// Coverage of orange (0 .. 1) at a place relative to the motif's middle, itself at `(u, v)` on the
    /// sheet.
    fn orange(cell: (i32, i32), at: Point, sheet: Point, unit: f32) -> f32 {
        let edge = |d: f32| (0.5 - d * unit).clamp(0.0, 1.0);
        let r = (at.0 * at.0 + at.1 * at.1).sqrt();
        if r > RADIUS + 1.0 {
            return 0.0;
        }
        let rind = edge((r - RADIUS + 1.3).abs() - 1.3);
        // Nine wedges between two circles.
        let turn = at.1.atan2(at.0) + hash(cell.0, cell.1, 77) * PI;
        let wedge = TAU / 9.0;
        let from_middle = (turn.rem_euclid(wedge) - wedge * 0.5).abs();
        let beside = (wedge * 0.5 - from_middle).sin() * r - 0.75;
        let flesh = edge((r - (RADIUS - 4.3)).max(2.4 - r).max(-beside));
        // Halftone, denser towards the rind.
        let (s, t) = ((sheet.0 + sheet.1) * FRAC_1_SQRT_2, (sheet.0 - sheet.1) * FRAC_1_SQRT_2);
        let cell_at = |a: f32| a - (a / SCREEN).floor() * SCREEN - SCREEN * 0.5;
        let dot = mix(0.40, 0.62, step(2.0, RADIUS - 4.0, r)) * SCREEN;
        let (ds, dt) = (cell_at(s), cell_at(t));
        let screen = edge((ds * ds + dt * dt).sqrt() - dot);
        rind.max(flesh * mix(0.30, 1.0, screen))
    }

    /// Coverage of green: two leaves above the slice, and a small sprig of dots in the gap of the grid.
    fn green(at: Point, unit: f32) -> f32 {
        let edge = |d: f32| (0.5 - d * unit).clamp(0.0, 1.0);
        let leaf = |tip: f32| {
            // A lens: where two circles meet.
            let (sin, cos) = tip.sin_cos();
            let (x, y) = (at.0 * cos + at.1 * sin - 5.4, at.1 * cos - at.0 * sin);
            let (x, y) = (x + 0.0, y + RADIUS + 2.6);
            let far = |c: f32| (x * x + (y - c) * (y - c)).sqrt() - 7.6;
            let vein = (y.abs() - 0.32).max(x.abs() - 4.2);
            edge(far(5.2).max(far(-5.2))) * (1.0 - 0.85 * edge(vein))
        };
        let dots = [(-22.0, 15.0, 1.9), (-18.6, 19.0, 1.35), (-22.9, 20.8, 1.35)]
            .iter()
            .map(|&(x, y, r): &(f32, f32, f32)| edge(((at.0 - x).powi(2) + (at.1 - y).powi(2)).sqrt() - r))
            .fold(0.0, f32::max);
        leaf(0.12).max(leaf(-0.62)).max(dots)
    }

    fn inks(&self, u: f32, v: f32, unit: f32) -> (f32, f32) {
        let (cell, at) = Self::cell(u, v);
        let (_, moved) = Self::cell(u + self.register.0, v + self.register.1);
        (Self::orange(cell, at, (u, v), unit), Self::green(moved, unit))
    }

    fn wrong(&self, flaw: &Flaw) -> Wrong {
        let (u, v) = self.sheet(flaw.at.0, flaw.at.1);
        let (cell, _) = Self::cell(u, v);
        let bits = flaw.seed;
        let angle = (bits >> 8) as f32;
        let shift = |far: f32| (angle.cos() * far, angle.sin() * far);
        if flaw.defect == Defect::Missing {
            let level = if bits.is_multiple_of(3) { 2.0 } else { mix(-0.05, 0.45, flaw.severity) };
            // Subtle ones lose only one ink.
            let only = flaw.severity < 0.6;
            let green_only = only && bits & 16 != 0;
            Wrong::Missing { cell, level, orange: !green_only, green: !only || green_only }
        } else if bits % 5 < 3 {
            let far = mix(2.0, 8.0, flaw.severity);
            Wrong::Ghost { cell, shift: shift(far), strength: mix(0.35, 0.8, flaw.severity) }
        } else {
            let far = mix(6.0, 20.0, flaw.severity);
            Wrong::Smear { cell, shift: shift(far), strength: mix(0.4, 0.75, flaw.severity) }
        }
    }

    fn damage(&self, wrong: &Wrong, u: f32, v: f32, unit: f32, inks: (f32, f32)) -> (f32, f32) {
        // Ink that belongs to one motif only, wherever it lands.
        let of_cell = |cell: (i32, i32), u: f32, v: f32| {
            if Self::cell(u, v).0 == cell { self.inks(u, v, unit) } else { (0.0, 0.0) }
        };
        match *wrong {
            Wrong::Missing { cell, level, orange, green } => {
                let (here, _) = Self::cell(u, v);
                if here != cell {
                    return inks;
                }
                let patch = fractal(u * 0.075, v * 0.075, 3, self.seed ^ 21);
                let keep = step(level - 0.07, level + 0.07, patch);
                (if orange { inks.0 * keep } else { inks.0 }, if green { inks.1 * keep } else { inks.1 })
            }
            Wrong::Ghost { cell, shift, strength } => {
                let again = of_cell(cell, u - shift.0, v - shift.1);
                (inks.0.max(again.0 * strength), inks.1.max(again.1 * strength))
            }
            Wrong::Smear { cell, shift, strength } => {
                let (mut orange, mut green) = inks;
                for step in 1..=10 {
                    let t = step as f32 / 10.0;
                    let again = of_cell(cell, u - shift.0 * t, v - shift.1 * t);
                    let streak = 0.75 + 0.4 * noise(u * shift.1 * 0.06 - v * shift.0 * 0.06, 0.5, self.seed);
                    let fade = strength * (1.0 - 0.8 * t) * streak;
                    orange = orange.max(again.0 * fade);
                    green = green.max(again.1 * fade);
                }
                (orange, green)
            }
        }
    }
}

impl Scene for Print {
    fn paint(&self, canvas: &mut Canvas, flaw: Option<&Flaw>) {
        let wrong = flaw.map(|flaw| self.wrong(flaw));
        let unit = canvas.unit;
        canvas.edit(Bounds::ALL, |x, y, pixel| {
            let (u, v) = self.sheet(x, y);
            let mut inks = self.inks(u, v, unit);
            if let Some(wrong) = &wrong {
                inks = self.damage(wrong, u, v, unit, inks);
            }
            // Board fibres; ink is taken up unevenly.
            let fibre =
                0.6 * noise(u * 0.9, v * 0.35, self.seed) + 0.4 * noise(u * 0.3, v * 0.8, self.seed ^ 5);
            let uptake = self.density * (1.0 - 0.07 * noise(u * 0.8, v * 0.8, self.seed ^ 6).abs());
            let board = dim(ink(0xf1ece1), 1.0 + 0.022 * fibre);
            let through = |colour: Rgb, cover: f32| -> Rgb {
                let amount = cover * uptake;
                colour.map(|c| 1.0 - amount * (1.0 - c))
            };
            *pixel = filter(filter(board, through(ORANGE, inks.0)), through(GREEN, inks.1));
        });
    }

    fn builds(&self, defect: Defect) -> bool {
        matches!(defect, Defect::Missing | Defect::Misprint)
    }

    fn style(&self) -> &Style {
        &STYLE
    }
}
