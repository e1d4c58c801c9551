//! The drawing surface: linear-light RGB, drawn in units of 1/256 of the side so that pictures look alike at
//! every size, with edges antialiased from signed distances.

use super::noise::{Point, step, stream, uniform};
use crate::data::OwnedImage;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// Linear light, 0 .. 1 (highlights may pass 1 until the camera clips them).
pub(super) type Rgb = [f32; 3];

/// Side of the picture in units.
pub(super) const SIDE: f32 = 256.0;

/// The linear light of a display colour `0xRRGGBB`, with a gamma of 2 (see [`Camera`]).
pub(super) const fn ink(hex: u32) -> Rgb {
    let [_, r, g, b] = hex.to_be_bytes();
    let (r, g, b) = (r as f32 / 255.0, g as f32 / 255.0, b as f32 / 255.0);
    [r * r, g * g, b * b]
}

/// `a` at 0, `b` at 1.
pub(super) fn blend(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// Every channel times `k`.
pub(super) fn dim(a: Rgb, k: f32) -> Rgb {
    [a[0] * k, a[1] * k, a[2] * k]
}

/// Channel by channel: light through two filters.
pub(super) fn filter(a: Rgb, b: Rgb) -> Rgb {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

/// A rectangle in units: left, top, right, bottom.
#[derive(Clone, Copy)]
pub(super) struct Bounds(pub f32, pub f32, pub f32, pub f32);

impl Bounds {
    pub(super) const ALL: Self = Self(0.0, 0.0, SIDE, SIDE);

    /// The square of half-side `r` around `at`.
    pub(super) fn around(at: Point, r: f32) -> Self {
        Self(at.0 - r, at.1 - r, at.0 + r, at.1 + r)
    }

    /// The smallest rectangle around `points`, `margin` wider on every side.
    pub(super) fn of(points: &[Point], margin: f32) -> Self {
        points.iter().fold(Self(f32::MAX, f32::MAX, f32::MIN, f32::MIN), |b, p| {
            Self(b.0.min(p.0 - margin), b.1.min(p.1 - margin), b.2.max(p.0 + margin), b.3.max(p.1 + margin))
        })
    }
}

/// What a stroke tells its painter about a pixel.
#[derive(Clone, Copy)]
pub(super) struct Near {
    /// Distance from the line in units.
    pub distance: f32,
    /// Position along the line, 0 .. 1.
    pub along: f32,
    /// Which side: positive on the left, the distance with a sign.
    pub side: f32,
}

/// A square picture in linear light.
#[derive(Clone)]
pub(super) struct Canvas {
    size: usize,
    /// Pixels per unit.
    pub unit: f32,
    pixels: Vec<Rgb>,
}

impl Canvas {
    pub(super) fn new(size: usize) -> Self {
        Self { size, unit: size as f32 / SIDE, pixels: vec![[0.0; 3]; size * size] }
    }

    fn pixel_range(&self, lo: f32, hi: f32) -> std::ops::Range<usize> {
        let lo = (lo * self.unit).floor().clamp(0.0, self.size as f32) as usize;
        let hi = (hi * self.unit).ceil().clamp(0.0, self.size as f32) as usize;
        lo..hi.max(lo)
    }

    /// Gives every pixel within `bounds` to `f` with its centre in units.
    pub(super) fn edit(&mut self, bounds: Bounds, mut f: impl FnMut(f32, f32, &mut Rgb)) {
        let columns = self.pixel_range(bounds.0, bounds.2);
        for row in self.pixel_range(bounds.1, bounds.3) {
            let y = (row as f32 + 0.5) / self.unit;
            for column in columns.clone() {
                f((column as f32 + 0.5) / self.unit, y, &mut self.pixels[row * self.size + column]);
            }
        }
    }

    /// Fills the inside of a signed distance (units) with a colour.
    pub(super) fn fill(
        &mut self,
        bounds: Bounds,
        distance: impl Fn(f32, f32) -> f32,
        colour: impl Fn(f32, f32) -> Rgb,
    ) {
        let unit = self.unit;
        self.edit(bounds, |x, y, pixel| {
            let cover = (0.5 - distance(x, y) * unit).clamp(0.0, 1.0);
            if cover > 0.0 {
                *pixel = blend(*pixel, colour(x, y), cover);
            }
        });
    }

    /// Gives every pixel within `reach` units of a polyline to `f`, once.
    pub(super) fn stroke(
        &mut self,
        points: &[Point],
        reach: f32,
        mut f: impl FnMut(Near, f32, f32, &mut Rgb),
    ) {
        if points.len() < 2 {
            return;
        }
        let reach = reach + 1.0 / self.unit;
        let all = Bounds::of(points, reach);
        let (columns, rows) = (self.pixel_range(all.0, all.2), self.pixel_range(all.1, all.3));
        let far = Near { distance: f32::MAX, along: 0.0, side: 0.0 };
        let mut nearest = vec![far; columns.len() * rows.len()];
        let segments = (points.len() - 1) as f32;
        for (index, pair) in points.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            let length2 = (dx * dx + dy * dy).max(1e-9);
            let part = Bounds::of(pair, reach);
            let part_columns = self.pixel_range(part.0, part.2);
            for row in self.pixel_range(part.1, part.3) {
                let y = (row as f32 + 0.5) / self.unit;
                for column in part_columns.clone() {
                    let x = (column as f32 + 0.5) / self.unit;
                    let t = (((x - a.0) * dx + (y - a.1) * dy) / length2).clamp(0.0, 1.0);
                    let (ex, ey) = (x - a.0 - t * dx, y - a.1 - t * dy);
                    let distance = (ex * ex + ey * ey).sqrt();
                    let slot = &mut nearest[(row - rows.start) * columns.len() + column - columns.start];
                    if distance < slot.distance {
                        let side = if dx * ey - dy * ex < 0.0 { distance } else { -distance };
                        *slot = Near { distance, along: (index as f32 + t) / segments, side };
                    }
                }
            }
        }
        for row in rows.clone() {
            let y = (row as f32 + 0.5) / self.unit;
            for column in columns.clone() {
                let near = nearest[(row - rows.start) * columns.len() + column - columns.start];
                if near.distance <= reach {
                    let x = (column as f32 + 0.5) / self.unit;
                    f(near, x, y, &mut self.pixels[row * self.size + column]);
                }
            }
        }
    }

    /// Where `changed` differs from this picture by more than 3 of 255 display steps in a channel, as a mask
    /// with gaps of up to about 5 units closed and one pixel of margin (what the camera's blur can reach).
    /// Pixels of `changed` outside the closed mask are set back to this picture's. Also returns how many
    /// pixels differ by more than 10 steps, which the eye can tell from noise.
    pub(super) fn mask_of(&self, changed: &mut Self) -> (Vec<bool>, usize) {
        let steps = |(a, b): (&Rgb, &Rgb)| {
            let display = |v: f32| v.max(0.0).sqrt() * 255.0;
            if a == b {
                return 0.0;
            }
            a.iter().zip(b).map(|(&a, &b)| (display(a) - display(b)).abs()).fold(0.0, f32::max)
        };
        let difference: Vec<f32> = self.pixels.iter().zip(&changed.pixels).map(steps).collect();
        let raw: Vec<bool> = difference.iter().map(|&d| d > 3.0).collect();
        let visible = difference.iter().filter(|&&d| d > 10.0).count();
        // A lone pixel is chance, not part of a defect.
        let alone = |at: usize| {
            let (x, y) = (at % self.size, at / self.size);
            let near = |v: usize| v.saturating_sub(1)..=(v + 1).min(self.size - 1);
            near(y)
                .flat_map(|ny| near(x).map(move |nx| (nx, ny)))
                .filter(|n| raw[n.1 * self.size + n.0])
                .count()
                < 2
        };
        let mut mask: Vec<bool> = raw.iter().enumerate().map(|(at, &m)| m && !alone(at)).collect();
        let radius = (2.5 * self.unit).round().max(1.0) as usize;
        for square in (0..radius).map(|i| i % 2 == 1) {
            mask = grow(&mask, self.size, square);
        }
        mask.iter_mut().for_each(|m| *m = !*m);
        for square in (0..radius).map(|i| i % 2 == 1) {
            mask = grow(&mask, self.size, square);
        }
        mask.iter_mut().for_each(|m| *m = !*m);
        for ((m, pixel), clean) in mask.iter().zip(&mut changed.pixels).zip(&self.pixels) {
            if !m {
                *pixel = *clean;
            }
        }
        (grow(&mask, self.size, true), visible)
    }
}

/// Sets every pixel that has a set neighbour: eight neighbours where `square`, else four.
fn grow(mask: &[bool], size: usize, square: bool) -> Vec<bool> {
    let mut out = mask.to_vec();
    for y in 0..size {
        for x in 0..size {
            if !mask[y * size + x] {
                continue;
            }
            let (x0, x1) = (x.saturating_sub(1), (x + 1).min(size - 1));
            for ny in y.saturating_sub(1)..=(y + 1).min(size - 1) {
                if square || ny == y {
                    out[ny * size + x0..=ny * size + x1].fill(true);
                } else {
                    out[ny * size + x] = true;
                }
            }
        }
    }
    out
}

/// Light and sensor: uneven illumination, vignetting, a slight blur, gamma, noise, 8 bits.
pub(super) struct Camera {
    gain: f32,
    slope: Point,
    vignette: f32,
    warmth: f32,
    blur: f32,
    noise: f32,
    seed: u64,
}

impl Camera {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        let angle = uniform(rng, 0.0, std::f32::consts::TAU);
        let slope = uniform(rng, 0.02, 0.11);
        Self {
            gain: uniform(rng, 0.95, 1.05),
            slope: (angle.cos() * slope, angle.sin() * slope),
            vignette: uniform(rng, 0.05, 0.13),
            warmth: uniform(rng, -0.015, 0.015),
            blur: uniform(rng, 0.08, 0.17),
            noise: uniform(rng, 0.006, 0.010),
            seed: rng.next_u64(),
        }
    }

    /// Takes the picture. A pixel depends on the light of its 3x3 neighbourhood and on nothing else.
    pub(super) fn expose(&self, canvas: &Canvas) -> OwnedImage {
        let size = canvas.size;
        let side = 1.0 - 2.0 * self.blur;
        let mut across = vec![[0.0; 3]; size * size];
        for (row, out) in canvas.pixels.chunks_exact(size).zip(across.chunks_exact_mut(size)) {
            for x in 0..size {
                let (l, m, r) = (row[x.saturating_sub(1)], row[x], row[(x + 1).min(size - 1)]);
                out[x] = std::array::from_fn(|c| side * m[c] + self.blur * (l[c] + r[c]));
            }
        }
        let mut rng = stream(&[self.seed]);
        let mut pixels = Vec::with_capacity(size * size * 3);
        for y in 0..size {
            let (up, down) = (y.saturating_sub(1) * size, (y + 1).min(size - 1) * size);
            let v = (y as f32 + 0.5) / size as f32 - 0.5;
            for x in 0..size {
                let u = (x as f32 + 0.5) / size as f32 - 0.5;
                let corner = 1.0 - self.vignette * 2.0 * (u * u + v * v);
                let light = self.gain * corner * (1.0 + 2.0 * (u * self.slope.0 + v * self.slope.1));
                let (above, here, under) = (across[up + x], across[y * size + x], across[down + x]);
                for (c, tint) in [1.0 + self.warmth, 1.0, 1.0 - self.warmth].into_iter().enumerate() {
                    let value = side * here[c] + self.blur * (above[c] + under[c]);
                    let display = (value * light * tint).max(0.0).sqrt();
                    // Soft shoulder instead of hard clipping.
                    let display = if display > 0.9 {
                        0.9 + 0.1 * (1.0 - 1.0 / (1.0 + (display - 0.9) * 10.0))
                    } else {
                        display
                    };
                    // Four bytes summed: close to a Gaussian, of standard deviation 147.8.
                    let sum: i32 = rng.next_u32().to_le_bytes().iter().map(|&b| i32::from(b)).sum();
                    let grain = (sum - 510) as f32 / 147.8 * self.noise * (1.2 - 0.4 * display);
                    pixels.push(((display + grain) * 255.0 + 0.5).clamp(0.0, 255.0) as u8);
                }
            }
        }
        OwnedImage { width: size as u32, height: size as u32, pixels }
    }
}

/// Strength of a soft disc: 1 in the middle, 0 from `radius` on.
pub(super) fn soft_disc(at: Point, radius: f32, x: f32, y: f32) -> f32 {
    let (dx, dy) = (x - at.0, y - at.1);
    step(1.0, 0.0, (dx * dx + dy * dy).sqrt() / radius)
}
