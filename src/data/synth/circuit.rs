//! An assembled circuit board: traces under green solder mask, vias, white print, parts placed with the small
//! scatter of a pick-and-place machine. The layout is always the same; the pose and the parts' tones are not.

use super::board::{HEADER, Kind, PARTS, Part, TRACES, VIAS, glyph};
use super::canvas::{Bounds, Canvas, Rgb, blend, dim, ink};
use super::noise::{Point, below, hash, mix, noise, step, uniform};
use super::{Defect, Flaw, Scene, Style};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

static STYLE: Style = Style {
    scratch: (ink(0xc98f52), ink(0x8fb894)),
    stains: &[ink(0xb9a06a), ink(0x8f7a50)],
    rim: true,
    tints: &[ink(0xd8c890)],
    fibres: &[ink(0xe8e6e0), ink(0xb03a34), ink(0x1c1a18), ink(0x4468a8)],
    hole: (ink(0x0c0f0c), ink(0xc9b27a)),
    crack: (ink(0x0b100c), ink(0xa8c2a0)),
};

const BOARD: Rgb = ink(0x14563a);
const TRACE: Rgb = ink(0x2a7d52);
const GOLD: Rgb = ink(0xd2ad62);
const TIN: Rgb = ink(0xc9ced2);
const SILK: Rgb = ink(0xe9ece6);

pub(super) struct Circuit {
    turn: (f32, f32),
    offset: Point,
    seed: u32,
    /// Placement of each part: shift and turn.
    scatter: Vec<(Point, f32)>,
}

fn rectangle(x: f32, y: f32, half: Point, round: f32) -> f32 {
    let (dx, dy) = (x.abs() - half.0 + round, y.abs() - half.1 + round);
    dx.max(dy).min(0.0) + (dx.max(0.0).powi(2) + dy.max(0.0).powi(2)).sqrt() - round
}

impl Circuit {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        Self {
            turn: uniform(rng, -0.016, 0.016).sin_cos(),
            offset: (uniform(rng, -2.5, 2.5), uniform(rng, -2.5, 2.5)),
            seed: rng.next_u32(),
            scatter: PARTS
                .iter()
                .map(|_| {
                    let shift = (uniform(rng, -0.6, 0.6), uniform(rng, -0.6, 0.6));
                    (shift, uniform(rng, -0.03, 0.03))
                })
                .collect(),
        }
    }

    /// From board to picture.
    fn place_at(&self, p: Point) -> Point {
        let (sin, cos) = self.turn;
        let (x, y) = (p.0 - 128.0, p.1 - 128.0);
        (x * cos - y * sin + 128.0 + self.offset.0, x * sin + y * cos + 128.0 + self.offset.1)
    }

    /// From picture to board.
    fn board_at(&self, x: f32, y: f32) -> Point {
        let (sin, cos) = self.turn;
        let (x, y) = (x - 128.0 - self.offset.0, y - 128.0 - self.offset.1);
        (x * cos + y * sin + 128.0, y * cos - x * sin + 128.0)
    }

    fn paint_board(&self, canvas: &mut Canvas) {
        let seed = self.seed;
        canvas.edit(Bounds::ALL, |x, y, pixel| {
            let (u, v) = self.board_at(x, y);
            // Glass weave showing through, and uneven mask.
            let weave = 0.035 * ((u * 1.26).sin() + (v * 1.26).sin());
            let grain = 0.07 * noise(x * 0.05, y * 0.05, seed) + 0.05 * noise(x * 0.8, y * 0.8, seed ^ 1);
            *pixel = dim(BOARD, 1.0 + weave + grain);
        });
        let unit = canvas.unit;
        for (half, corners) in &TRACES {
            let points: Vec<_> = corners.iter().map(|&p| self.place_at(p)).collect();
            canvas.stroke(&points, half + 1.2, |near, x, y, pixel| {
                let cover = (0.5 - (near.distance - half) * unit).clamp(0.0, 1.0);
                let lit = 1.0 + 0.16 * (near.side / half).clamp(-1.0, 1.0) + 0.05 * noise(x, y, seed ^ 2);
                *pixel = blend(*pixel, dim(TRACE, lit), cover);
            });
        }
        for &via in &VIAS {
            self.ring(canvas, via, 3.6, 1.7);
        }
        for pin in HEADER {
            let at = (38.0 + 22.0 * f32::from(pin), 236.0);
            self.ring(canvas, at, 6.4, 0.0);
            let middle = self.place_at(at);
            let bounds = Bounds::around(middle, 5.0);
            let inside = |x: f32, y: f32| rectangle(x - middle.0, y - middle.1, (2.7, 2.7), 0.6);
            canvas.fill(bounds, inside, |x, y| {
                let slope = (middle.0 - x + middle.1 - y) * 0.09;
                dim(GOLD, 0.85 + slope)
            });
        }
    }

    fn ring(&self, canvas: &mut Canvas, at: Point, outer: f32, inner: f32) {
        let at = self.place_at(at);
        let far = |x: f32, y: f32| ((x - at.0).powi(2) + (y - at.1).powi(2)).sqrt();
        let bounds = Bounds::around(at, outer + 1.5);
        canvas.fill(
            bounds,
            |x, y| far(x, y) - outer,
            |x, y| {
                dim(
                    GOLD,
                    0.9 + 0.35 * ((at.0 - x + at.1 - y) / (outer * 2.0)) + 0.06 * noise(x, y, self.seed ^ 4),
                )
            },
        );
        if inner > 0.0 {
            canvas.fill(bounds, |x, y| far(x, y) - inner, |_, _| ink(0x0b120e));
        }
    }

    fn text(&self, canvas: &mut Canvas, text: &str, at: Point, dot: f32, colour: Rgb) {
        for (index, letter) in text.chars().enumerate() {
            for (row, bits) in glyph(letter).iter().enumerate() {
                for column in (0..3).filter(|c| bits >> (2 - c) & 1 == 1) {
                    let p = (
                        at.0 + (index as f32 * 4.0 + column as f32 + 0.5) * dot,
                        at.1 + (row as f32 + 0.5) * dot,
                    );
                    let p = self.place_at(p);
                    let half = (dot * 0.55, dot * 0.55);
                    let bounds = Bounds::around(p, dot + 1.0);
                    canvas.fill(bounds, |x, y| rectangle(x - p.0, y - p.1, half, 0.2), |_, _| colour);
                }
            }
        }
    }

    /// Lands and print of a part, which stay when the part is missing.
    fn paint_lands(&self, canvas: &mut Canvas, index: usize, bare: bool) {
        let part = &PARTS[index];
        let frame = Frame::new(self, part, (0.0, 0.0), 0.0);
        let solder = |x: f32, y: f32| {
            let shine = 0.16 * noise(x * 0.35, y * 0.35, self.seed ^ 5);
            dim(TIN, if bare { 0.80 } else { 0.72 } + shine)
        };
        for pad in part.pads() {
            frame.fill(canvas, pad.0, pad.1, 0.7, solder);
        }
        if part.kind == Kind::Can {
            let outline = |x: f32, y: f32| {
                let (u, v) = frame.local(x, y);
                ((u * u + v * v).sqrt() - part.half.0 - 2.2).abs() - 0.6
            };
            canvas.fill(Bounds::around(frame.at, part.half.0 + 4.0), outline, |_, _| SILK);
        }
        let (w, h) = if part.upright { (part.half.1, part.half.0) } else { part.half };
        let (x, y) = part.at;
        match part.kind {
            Kind::Can => self.text(canvas, part.label, (x - 4.0, y + h + 6.0), 1.25, SILK),
            Kind::Chip(_) if part.upright => {
                self.text(canvas, part.label, (x - 4.0, y - h - 9.5), 1.25, SILK)
            }
            Kind::Chip(_) => self.text(canvas, part.label, (x + w + 4.0, y - 2.0), 1.25, SILK),
            _ if part.upright => self.text(canvas, part.label, (x + w + 3.0, y - 3.0), 1.25, SILK),
            _ => self.text(canvas, part.label, (x - 4.0, y - h - 9.5), 1.25, SILK),
        }
    }

    fn paint_part(&self, canvas: &mut Canvas, index: usize, shift: Point, turn: f32) {
        let part = &PARTS[index];
        let (scatter, angle) = self.scatter[index];
        let frame = Frame::new(self, part, (scatter.0 + shift.0, scatter.1 + shift.1), angle + turn);
        let tone = 1.0 + 0.08 * hash(index as i32, 3, self.seed);
        let reach = part.half.0.max(part.half.1) + 8.0;
        let (half, round) = (part.half, if part.kind == Kind::Can { part.half.0 } else { 1.0 });
        // Shadow to the lower right.
        canvas.edit(Bounds::around(frame.at, reach), |x, y, pixel| {
            let (u, v) = frame.local(x - 1.8, y - 2.4);
            *pixel = dim(*pixel, 1.0 - 0.5 * step(2.6, -2.0, rectangle(u, v, half, round)));
        });
        let grain = |x: f32, y: f32| noise(x * 0.9, y * 0.9, self.seed ^ 6);
        let edge = |u: f32, v: f32| step(-1.7, -0.2, rectangle(u, v, half, round));
        match part.kind {
            Kind::Chip(_) => {
                for (at, size) in part.pads() {
                    let size = (size.0 * 0.62, size.1 * 0.85);
                    frame.fill(canvas, at, size, 0.4, |x, y| dim(TIN, 0.95 + 0.1 * grain(x, y)));
                }
                frame.fill(canvas, (0.0, 0.0), half, 1.0, |x, y| {
                    let (u, v) = frame.local(x, y);
                    let lit = 1.0 + 0.9 * edge(u, v) * (-(u / half.0 + v / half.1)).clamp(-1.0, 1.0);
                    dim(ink(0x2b2d30), tone * (lit + 0.12 * grain(x, y)))
                });
                let dot = (-half.0 + 4.5, half.1 - 4.5);
                frame.fill(canvas, dot, (1.7, 1.7), 1.7, |_, _| ink(0x55585c));
                if !part.upright {
                    self.text(canvas, "8051", (part.at.0 - 15.0, part.at.1 - 4.0), 1.5, ink(0x84878a));
                }
            }
            Kind::Resistor | Kind::Capacitor => {
                let body = if part.kind == Kind::Resistor { ink(0x26282b) } else { ink(0xa8835a) };
                frame.fill(canvas, (0.0, 0.0), half, 0.8, |x, y| {
                    let (u, v) = frame.local(x, y);
                    let metal = step(half.0 - 3.4, half.0 - 2.9, u.abs());
                    let lit = 1.0 + 0.35 * edge(u, v) * (-(v / half.1)).clamp(-1.0, 1.0);
                    let colour = blend(dim(body, tone), TIN, metal);
                    dim(colour, lit + 0.08 * grain(x, y))
                });
            }
            Kind::Can => {
                frame.fill(canvas, (0.0, 0.0), half, round, |x, y| {
                    let (u, v) = frame.local(x, y);
                    let r = (u * u + v * v).sqrt();
                    let lit = -(u * 0.6 + v * 0.8) / r.max(1.0);
                    let rim = step(2.4, 0.4, (r - half.0 + 2.6).abs());
                    let level = 0.62 + 0.05 * grain(x, y) + 0.32 * rim * lit + 0.10 * (-(u + v) / half.0);
                    let stripe = step(8.4, 9.0, u) * step(half.0 - 3.5, half.0 - 4.2, r);
                    blend(dim([0.92, 0.94, 0.97], level.max(0.05)), ink(0x1d1f22), stripe)
                });
            }
        }
    }
}

/// A part's own axes in the picture.
struct Frame {
    at: Point,
    turn: (f32, f32),
}

impl Frame {
    fn new(board: &Circuit, part: &Part, shift: Point, turn: f32) -> Self {
        let at = board.place_at((part.at.0 + shift.0, part.at.1 + shift.1));
        let quarter = if part.upright { std::f32::consts::FRAC_PI_2 } else { 0.0 };
        let board_turn = board.turn.0.asin();
        Self { at, turn: (quarter + board_turn + turn).sin_cos() }
    }

    fn local(&self, x: f32, y: f32) -> Point {
        let (sin, cos) = self.turn;
        let (dx, dy) = (x - self.at.0, y - self.at.1);
        (dx * cos + dy * sin, dy * cos - dx * sin)
    }

    fn picture(&self, u: f32, v: f32) -> Point {
        let (sin, cos) = self.turn;
        (self.at.0 + u * cos - v * sin, self.at.1 + u * sin + v * cos)
    }

    fn fill(
        &self,
        canvas: &mut Canvas,
        at: Point,
        half: Point,
        round: f32,
        colour: impl Fn(f32, f32) -> Rgb,
    ) {
        let bounds = Bounds::around(self.picture(at.0, at.1), half.0.hypot(half.1) + 1.5);
        let inside = |x: f32, y: f32| {
            let (u, v) = self.local(x, y);
            rectangle(u - at.0, v - at.1, half, round)
        };
        canvas.fill(bounds, inside, colour);
    }
}

impl Scene for Circuit {
    fn paint(&self, canvas: &mut Canvas, flaw: Option<&Flaw>) {
        self.paint_board(canvas);
        let hit = |wanted: Defect| flaw.filter(|f| f.defect == wanted);
        // Chips stay: the small parts and the can are what gets lost or turned.
        let victim = flaw.map_or(0, |f| 2 + f.seed as usize % (PARTS.len() - 2));
        for index in 0..PARTS.len() {
            let gone = hit(Defect::Missing).is_some() && index == victim;
            self.paint_lands(canvas, index, gone);
            if gone {
                continue;
            }
            let (mut shift, mut turn) = ((0.0, 0.0), 0.0);
            if let Some(flaw) = hit(Defect::Misplaced).filter(|_| index == victim) {
                let angle = (flaw.seed >> 4) as f32;
                let far = mix(1.8, 5.5, flaw.severity);
                shift = (angle.cos() * far, angle.sin() * far);
                turn = mix(0.12, 0.75, flaw.severity) * if flaw.seed & 8 == 0 { 1.0 } else { -1.0 };
            }
            self.paint_part(canvas, index, shift, turn);
        }
        if let Some(flaw) = hit(Defect::Bridge) {
            // Solder between two neighbouring pins of a chip, on either side.
            let rng = &mut super::noise::stream(&[u64::from(flaw.seed)]);
            let part = &PARTS[below(rng, 2)];
            let frame = Frame::new(self, part, (0.0, 0.0), 0.0);
            let pads = part.pads();
            let first = below(rng, pads.len() - 2);
            let (a, b) = (pads[first].0, pads[first + 2].0);
            let outward = (a.1.signum()) * uniform(rng, -0.4, 1.4);
            let line = [frame.picture(a.0, a.1 + outward), frame.picture(b.0, b.1 + outward)];
            let half = mix(0.8, 3.2, flaw.severity);
            let unit = canvas.unit;
            canvas.stroke(&line, half + 3.5, |near, x, y, pixel| {
                let waist =
                    half * (0.75 + (near.along - 0.5).powi(2) + 0.25 * noise(x * 0.4, y * 0.4, flaw.seed));
                let bulge = (1.0 - (near.distance / waist.max(0.1)).powi(2)).max(0.0).sqrt();
                let light = 0.62 + 0.35 * bulge * (0.6 + 0.6 * near.side / waist.max(0.1));
                let cover = (0.5 - (near.distance - waist) * unit).clamp(0.0, 1.0);
                *pixel = blend(*pixel, dim(TIN, light), cover);
            });
        }
    }

    fn builds(&self, defect: Defect) -> bool {
        matches!(defect, Defect::Missing | Defect::Misplaced | Defect::Bridge)
    }

    fn style(&self) -> &Style {
        &STYLE
    }
}
