//! Plain-woven chambray: blue warp, pale weft, each thread with its own width, colour and twist.

use super::canvas::{Bounds, Canvas, Rgb, blend, dim, ink};
use super::noise::{Point, hash, noise, noise1, step, uniform, wander};
use super::{Defect, Flaw, Scene, Style};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use std::f32::consts::{PI, TAU};

static STYLE: Style = Style {
    scratch: (ink(0x1f2c3c), ink(0xc9d2da)),
    stains: &[ink(0x6d5a45), ink(0x4e4f52), ink(0x8a6a50)],
    rim: true,
    tints: &[ink(0xc4cfe6), ink(0xe6d2b4), ink(0xdccfd6)],
    fibres: &[ink(0xb3382c), ink(0xe9e4d8), ink(0x22262b), ink(0xc98a2e)],
    hole: (ink(0x24272b), ink(0xa9b6c2)),
    crack: (ink(0x101318), ink(0xa9b6c2)),
};

pub(super) struct Fabric {
    turn: (f32, f32),
    offset: Point,
    period: f32,
    warp: Rgb,
    weft: Rgb,
    seed: u32,
    fuzz: Vec<(Vec<Point>, f32)>,
}

/// How a pulled thread distorts the weave.
struct Pull {
    /// Column of the warp thread.
    thread: i32,
    /// Middle and half-length along it, in threads.
    middle: f32,
    reach: f32,
    severity: f32,
    /// Drawn out and gone, or swollen to a slub.
    gone: bool,
}

impl Fabric {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        let angle = uniform(rng, -0.03, 0.03);
        let light = uniform(rng, 0.95, 1.05);
        let mut fuzz = Vec::new();
        for _ in 0..70 {
            let at = (uniform(rng, 0.0, 256.0), uniform(rng, 0.0, 256.0));
            let (heading, length) = (uniform(rng, 0.0, TAU), uniform(rng, 5.0, 16.0));
            fuzz.push((wander(rng, at, heading, length, 2.0, 0.35), uniform(rng, 0.1, 0.32)));
        }
        Self {
            turn: angle.sin_cos(),
            offset: (uniform(rng, 0.0, 40.0), uniform(rng, 0.0, 40.0)),
            period: uniform(rng, 7.0, 7.3),
            warp: dim(ink(0x5d80ad), light),
            weft: dim(ink(0xc6d0d8), light),
            seed: rng.next_u32(),
            fuzz,
        }
    }

    /// Position in threads.
    fn thread_at(&self, x: f32, y: f32) -> Point {
        let (sin, cos) = self.turn;
        let wave = 0.22 * noise(x * 0.017, y * 0.017, self.seed ^ 1);
        let sway = 0.22 * noise(x * 0.017, y * 0.017, self.seed ^ 2);
        (
            (x * cos + y * sin) / self.period + self.offset.0 + wave,
            (y * cos - x * sin) / self.period + self.offset.1 + sway,
        )
    }

    fn pull(&self, flaw: &Flaw) -> Pull {
        let (u, v) = self.thread_at(flaw.at.0, flaw.at.1);
        Pull {
            thread: u.floor() as i32,
            middle: v,
            reach: 2.5 + 10.0 * flaw.severity,
            severity: 0.85 + 0.15 * flaw.severity,
            gone: !flaw.seed.is_multiple_of(3),
        }
    }

    fn weave(&self, x: f32, y: f32, unit: f32, pull: Option<&Pull>) -> Rgb {
        let (mut u, v) = self.thread_at(x, y);
        let mut hold = 0.0;
        if let Some(pull) = pull {
            let away = u - pull.thread as f32 - 0.5;
            hold = step(1.0, 0.75, (v - pull.middle).abs() / pull.reach) * pull.severity;
            // Neighbours close the gap, or give way to the slub.
            let near = (-away * away / 2.0).exp() * hold;
            u += away * near * if pull.gone { 0.10 } else { -0.42 };
        }
        let (i, j) = (u.floor() as i32, v.floor() as i32);
        let seed = self.seed;
        let mut warp_wide = 0.45 * (1.0 + 0.13 * noise1(v * 0.13, i, seed) + 0.07 * hash(i, 9, seed));
        let weft_wide = 0.45 * (1.0 + 0.13 * noise1(u * 0.13, j, seed ^ 7) + 0.07 * hash(j, 8, seed));
        let mut lift = 0.0;
        if let Some(pull) = pull.filter(|p| p.thread == i) {
            if pull.gone {
                warp_wide *= 1.0 - hold;
                lift = -1.2 * hold;
            } else {
                warp_wide = (warp_wide * (1.0 + 0.3 * hold)).min(0.6);
                lift = 1.1 * hold;
            }
        }
        let a = u - i as f32 - 0.5 - 0.06 * noise1(v * 0.3, i, seed ^ 3);
        let b = v - j as f32 - 0.5 - 0.06 * noise1(u * 0.3, j, seed ^ 4);
        let parity = |n: i32| if n & 1 == 0 { 1.0 } else { -1.0 };
        let warp_up = parity(i) * (PI * (v - 0.5)).cos();
        let weft_up = -parity(j) * (PI * (u - 0.5)).cos();
        let round = |t: f32, w: f32| (1.0 - (t / w.max(0.01)).powi(2)).max(0.0).sqrt();
        let (warp_round, weft_round) = (round(a, warp_wide), round(b, weft_wide));
        let warp_high = 0.7 * warp_up + 0.4 * warp_round + lift;
        let weft_high = 0.7 * weft_up + 0.4 * weft_round;
        let pixels = self.period * unit;
        let soft = |d: f32| (0.5 - d * pixels).clamp(0.0, 1.0);
        let thread = |colour: Rgb, lane: i32, along: f32, across: f32, round: f32, up: f32, salt: u32| {
            let slub =
                1.0 + 0.09 * hash(lane, 5, seed ^ salt) + 0.11 * noise1(along * 0.16, lane, seed ^ salt);
            let twist = 0.10 * (TAU * (along * 1.35 + across * 0.9 + hash(lane, 6, seed))).sin();
            let grain = 0.10 * noise(x * 1.1, y * 1.1, seed ^ salt);
            dim(colour, (0.36 + 0.5 * round + 0.16 * up - 0.16 * across + twist * round + grain) * slub)
        };
        let warp = thread(self.warp, i, v, a, warp_round, warp_up.min(1.0), 11);
        let weft = thread(self.weft, j, u, b, weft_round, weft_up, 12);
        let gap = dim(self.warp, 0.1);
        let over = step(-0.12, 0.12, warp_high - weft_high);
        let (warp_cover, weft_cover) = (soft(a.abs() - warp_wide), soft(b.abs() - weft_wide));
        let warp_top = blend(blend(gap, dim(weft, 0.75), weft_cover), warp, warp_cover);
        let weft_top = blend(blend(gap, dim(warp, 0.75), warp_cover), weft, weft_cover);
        blend(weft_top, warp_top, over)
    }
}

impl Scene for Fabric {
    fn paint(&self, canvas: &mut Canvas, flaw: Option<&Flaw>) {
        let pull = flaw.map(|flaw| self.pull(flaw));
        let unit = canvas.unit;
        canvas.edit(Bounds::ALL, |x, y, pixel| *pixel = self.weave(x, y, unit, pull.as_ref()));
        for (points, strength) in &self.fuzz {
            canvas.stroke(points, 1.0, |near, _, _, pixel| {
                let cover = (0.9 - near.distance * unit).clamp(0.0, 1.0);
                *pixel = blend(*pixel, ink(0xdfe6ec), cover * strength);
            });
        }
    }

    fn builds(&self, defect: Defect) -> bool {
        defect == Defect::PulledThread
    }

    fn style(&self) -> &Style {
        &STYLE
    }
}
