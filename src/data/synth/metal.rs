//! Brushed steel: noise stretched along the brushing, hairlines, a soft specular band across it.

use super::canvas::{Bounds, Canvas, blend, dim, ink};
use super::noise::{Point, mix, noise, uniform};
use super::{Flaw, Scene, Style};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

static STYLE: Style = Style {
    scratch: (ink(0xf4f5f6), ink(0x3c3f43)),
    stains: &[ink(0x8a7a5c), ink(0x5d6672), ink(0x7d5236)],
    rim: true,
    tints: &[ink(0xe6cda0), ink(0xb4bede), ink(0xd4bcc4)],
    fibres: &[ink(0x26221f), ink(0xd8d2c4)],
    hole: (ink(0x15171a), ink(0xb0b4b8)),
    crack: (ink(0x1a1b1e), ink(0xdfe2e5)),
};

struct Hairline {
    points: [Point; 2],
    strength: f32,
}

pub(super) struct Metal {
    turn: (f32, f32),
    band: f32,
    tilt: f32,
    width: f32,
    seed: u32,
    hairlines: Vec<Hairline>,
}

impl Metal {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        let angle = uniform(rng, -0.02, 0.02);
        let hairlines = (0..110)
            .map(|_| {
                let (x, y) = (uniform(rng, -30.0, 256.0), uniform(rng, 0.0, 256.0));
                let length = uniform(rng, 15.0, 110.0);
                Hairline {
                    points: [(x, y), (x + length, y - length * (angle + uniform(rng, -0.006, 0.006)))],
                    strength: uniform(rng, -0.16, 0.2),
                }
            })
            .collect();
        Self {
            turn: angle.sin_cos(),
            band: uniform(rng, 95.0, 160.0),
            tilt: uniform(rng, -0.12, 0.12),
            width: uniform(rng, 58.0, 78.0),
            seed: rng.next_u32(),
            hairlines,
        }
    }
}

impl Scene for Metal {
    fn paint(&self, canvas: &mut Canvas, _flaw: Option<&Flaw>) {
        let seed = self.seed;
        let (sin, cos) = self.turn;
        canvas.edit(Bounds::ALL, |x, y, pixel| {
            let (u, v) = (x * cos + y * sin, y * cos - x * sin);
            let streak = 0.42 * noise(u * 0.011, v * 1.05, seed)
                + 0.30 * noise(u * 0.035, v * 1.0 + 40.0, seed ^ 1)
                + 0.20 * noise(u * 0.006, v * 0.33, seed ^ 2)
                + 0.16 * noise(u * 0.11, v * 1.0, seed ^ 3);
            let off = (y - self.band + self.tilt * (x - 128.0)) / self.width;
            let band = (-off * off).exp();
            let cloud = 0.03 * noise(x * 0.014, y * 0.02, seed ^ 4);
            let level = 0.30 + 0.28 * band + cloud + streak * (0.075 + 0.075 * band);
            *pixel = dim([0.985, 1.0, 1.02], level.max(0.02));
        });
        let unit = canvas.unit;
        for hairline in &self.hairlines {
            canvas.stroke(&hairline.points, 1.0, |near, _, _, pixel| {
                let cover = (0.85 - near.distance * unit).clamp(0.0, 1.0);
                let ends = 4.0 * near.along * (1.0 - near.along);
                let target = if hairline.strength > 0.0 { [1.0; 3] } else { [0.08; 3] };
                *pixel = blend(*pixel, target, cover * ends * mix(0.2, 1.0, ends) * hairline.strength.abs());
            });
        }
    }

    fn style(&self) -> &Style {
        &STYLE
    }
}
