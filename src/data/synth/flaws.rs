//! Defects that are laid over a finished material.

use super::canvas::{Bounds, Canvas, Rgb, blend, dim, filter, soft_disc};
use super::noise::{Point, below, blob, fractal, mix, noise, noise1, sign, step, stream, uniform, wander};
use super::{Defect, Flaw, Scene};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use std::f32::consts::{PI, TAU};

/// Draws the flaw.
pub(super) fn apply(canvas: &mut Canvas, flaw: &Flaw, scene: &dyn Scene) {
    let rng = &mut stream(&[u64::from(flaw.seed)]);
    match flaw.defect {
        Defect::Scratch => scratch(canvas, flaw, scene, rng),
        Defect::Stain => stain(canvas, flaw, scene, rng),
        Defect::Discoloration => discoloration(canvas, flaw, scene, rng),
        Defect::Fibre => fibre(canvas, flaw, scene, rng),
        Defect::Hole => hole(canvas, flaw, scene, rng),
        Defect::Crack => crack(canvas, flaw, scene, rng),
        Defect::Dent => dent(canvas, flaw, rng),
        // The rest are built by the materials that can have them.
        _ => {}
    }
}

fn pick(rng: &mut ChaCha8Rng, colours: &[Rgb]) -> Rgb {
    colours.get(below(rng, colours.len())).copied().unwrap_or([0.2; 3])
}

fn scratch(canvas: &mut Canvas, flaw: &Flaw, scene: &dyn Scene, rng: &mut ChaCha8Rng) {
    let (core, edge) = scene.style().scratch;
    let length = mix(26.0, 120.0, flaw.severity) * uniform(rng, 0.7, 1.3);
    let heading = uniform(rng, 0.0, TAU);
    let start = (flaw.at.0 - heading.cos() * length * 0.5, flaw.at.1 - heading.sin() * length * 0.5);
    let points = wander(rng, start, heading, length, 4.0, 0.012);
    let width = mix(0.45, 1.15, flaw.severity) * uniform(rng, 0.85, 1.2);
    let strength = mix(0.42, 0.95, flaw.severity);
    let seed = rng.next_u32();
    let unit = canvas.unit;
    canvas.stroke(&points, width * 2.0 + 1.0, |near, x, y, pixel| {
        let ends = step(0.0, 0.12, near.along) * step(1.0, 0.8, near.along);
        let skips = step(-0.55, 0.05, noise1(near.along * length * 0.14, 3, seed));
        let rough = 0.8 + 0.35 * noise1(near.along * length * 0.8, 5, seed);
        let hold = strength * ends * skips * scene.on(x, y);
        let line = |d: f32, w: f32| {
            let wide = w.max(0.5 / unit);
            (0.5 - (d - wide) * unit).clamp(0.0, 1.0) * (w / wide)
        };
        let cut = line(near.distance, width * rough.min(1.0)) * hold;
        let burr = line((near.side - width * 1.3).abs(), width * 0.6) * hold * 0.6;
        *pixel = blend(*pixel, edge, burr);
        *pixel = blend(*pixel, core, (cut * rough).min(1.0));
    });
}

fn stain(canvas: &mut Canvas, flaw: &Flaw, scene: &dyn Scene, rng: &mut ChaCha8Rng) {
    let style = scene.style();
    let tint = pick(rng, style.stains);
    let radius = mix(7.0, 25.0, flaw.severity) * uniform(rng, 0.8, 1.2);
    let strength = mix(0.22, 0.85, flaw.severity) * uniform(rng, 0.85, 1.1);
    let soft = mix(2.0, 0.28 * radius, uniform(rng, 0.2, 1.0));
    let (squash, turn) = (uniform(rng, 0.7, 1.0), uniform(rng, 0.0, PI));
    let (sin, cos) = turn.sin_cos();
    let seed = rng.next_u32();
    let outline = blob((0.0, 0.0), radius, 0.4, seed);
    // A few droplets beside it.
    let drops: Vec<_> = (0..below(rng, 4))
        .map(|_| {
            let (angle, far) = (uniform(rng, 0.0, TAU), radius * uniform(rng, 1.35, 2.0));
            let at = (flaw.at.0 + angle.cos() * far, flaw.at.1 + angle.sin() * far);
            (at, uniform(rng, 1.2, 3.0))
        })
        .collect();
    let rim = if style.rim { uniform(rng, 0.1, 0.5) } else { 0.0 };
    canvas.edit(Bounds::around(flaw.at, radius * 2.2 + 4.0), |x, y, pixel| {
        let (dx, dy) = (x - flaw.at.0, y - flaw.at.1);
        let d = outline((dx * cos + dy * sin) / squash, dy * cos - dx * sin);
        let body = step(soft, -soft, d) * (0.82 + 0.3 * fractal(x * 0.09, y * 0.09, 3, seed));
        let edge = rim * step(2.6, 0.0, (d + soft * 0.5).abs());
        let drop = drops.iter().map(|&(at, r)| soft_disc(at, r * 1.5, x, y)).fold(0.0, f32::max);
        let amount = strength * (body + edge).max(drop * 0.8).min(1.15) * scene.on(x, y);
        let light: Rgb = std::array::from_fn(|c| (1.0 - amount * (1.0 - tint[c])).max(0.0));
        *pixel = filter(*pixel, light);
    });
}

fn discoloration(canvas: &mut Canvas, flaw: &Flaw, scene: &dyn Scene, rng: &mut ChaCha8Rng) {
    let tint = pick(rng, scene.style().tints);
    let radius = mix(38.0, 72.0, uniform(rng, 0.0, 1.0));
    let strength = mix(0.35, 1.0, flaw.severity);
    let (sin, cos) = uniform(rng, 0.0, PI).sin_cos();
    let squash = uniform(rng, 0.5, 0.9);
    let seed = rng.next_u32();
    canvas.edit(Bounds::around(flaw.at, radius * 1.6), |x, y, pixel| {
        let (dx, dy) = (x - flaw.at.0, y - flaw.at.1);
        let (u, v) = (dx * cos + dy * sin, (dy * cos - dx * sin) / squash);
        let warp = 1.0 + 0.45 * fractal(x * 0.022, y * 0.022, 3, seed);
        let amount = strength * scene.on(x, y) * step(1.25, 0.1, (u * u + v * v).sqrt() / (radius * warp));
        let light: Rgb = std::array::from_fn(|c| 1.0 - amount * (1.0 - tint[c]));
        *pixel = filter(*pixel, light);
    });
}

fn fibre(canvas: &mut Canvas, flaw: &Flaw, scene: &dyn Scene, rng: &mut ChaCha8Rng) {
    let colour = pick(rng, scene.style().fibres);
    let length = mix(24.0, 95.0, flaw.severity) * uniform(rng, 0.8, 1.2);
    let width = mix(0.4, 1.0, flaw.severity);
    let heading = uniform(rng, 0.0, TAU);
    let start = (flaw.at.0 - heading.cos() * length * 0.4, flaw.at.1 - heading.sin() * length * 0.4);
    let points = wander(rng, start, heading, length, 2.0, 0.16);
    let lift = uniform(rng, 1.0, 2.2);
    let shadow: Vec<_> = points.iter().map(|p| (p.0 + lift, p.1 + lift * 1.3)).collect();
    canvas.stroke(&shadow, width + 3.0, |near, _, _, pixel| {
        let ends = step(0.0, 0.08, near.along) * step(1.0, 0.92, near.along);
        *pixel = dim(*pixel, 1.0 - 0.4 * ends * step(width + 2.2, width * 0.3, near.distance));
    });
    let seed = rng.next_u32();
    let unit = canvas.unit;
    canvas.stroke(&points, width + 1.0, |near, _, _, pixel| {
        let wide = width.max(0.5 / unit);
        let cover = (0.5 - (near.distance - wide) * unit).clamp(0.0, 1.0) * (width / wide).max(0.75);
        let round = 1.0 + 0.45 * (near.side / width).clamp(-1.0, 1.0);
        let sheen = 1.0 + 0.25 * noise1(near.along * length * 0.25, 1, seed);
        *pixel = blend(*pixel, dim(colour, round * sheen), cover);
    });
}

fn hole(canvas: &mut Canvas, flaw: &Flaw, scene: &dyn Scene, rng: &mut ChaCha8Rng) {
    let (below_it, fray) = scene.style().hole;
    let radius = mix(4.0, 17.0, flaw.severity) * uniform(rng, 0.9, 1.15);
    let seed = rng.next_u32();
    let outline = blob(flaw.at, radius, 0.3, seed);
    let bounds = Bounds::around(flaw.at, radius * 1.9 + 6.0);
    // The cloth curls up a little around the hole and catches light.
    canvas.edit(bounds, |x, y, pixel| {
        let d = outline(x, y);
        let lit = (flaw.at.0 - x + flaw.at.1 - y) / (radius * 2.0);
        let curl = step(4.5, 0.0, d) * (0.16 * lit.clamp(-1.0, 1.0));
        *pixel = dim(*pixel, 1.0 + curl);
    });
    canvas.fill(bounds, &outline, |x, y| {
        let inner_shadow = 0.55 + 0.45 * step(-1.0, -6.0, outline(x - 1.5, y - 2.0));
        dim(below_it, inner_shadow * (1.0 + 0.25 * noise(x * 0.5, y * 0.5, seed)))
    });
    // Broken thread ends reach in from the rim.
    for _ in 0..(radius * 2.2) as usize + 5 {
        let angle = uniform(rng, 0.0, TAU);
        let (sin, cos) = angle.sin_cos();
        let mut rim = radius * 1.5;
        while rim > 0.0 && outline(flaw.at.0 + cos * rim, flaw.at.1 + sin * rim) > -0.3 {
            rim -= 0.5;
        }
        let start = (flaw.at.0 + cos * (rim + 2.0), flaw.at.1 + sin * (rim + 2.0));
        // Threads run along and across.
        let quarter = std::f32::consts::FRAC_PI_2;
        let inward = ((angle + PI) / quarter).round() * quarter + uniform(rng, -0.25, 0.25);
        let length = radius * uniform(rng, 0.15, 0.5) + 2.5;
        let points = wander(rng, start, inward, length, 1.5, 0.14);
        let shade = uniform(rng, 0.7, 1.25);
        let width = uniform(rng, 0.25, 0.6);
        let unit = canvas.unit;
        canvas.stroke(&points, width + 1.0, |near, _, _, pixel| {
            let w = (width * (1.2 - near.along)).max(0.1);
            let wide = w.max(0.5 / unit);
            let cover = (0.5 - (near.distance - wide) * unit).clamp(0.0, 1.0) * (w / wide);
            *pixel = blend(*pixel, dim(fray, shade), cover * 0.9);
        });
    }
}

fn crack(canvas: &mut Canvas, flaw: &Flaw, scene: &dyn Scene, rng: &mut ChaCha8Rng) {
    let (deep, edge) = scene.style().crack;
    let length = mix(26.0, 85.0, flaw.severity) * uniform(rng, 0.85, 1.15);
    let width = mix(0.45, 1.25, flaw.severity);
    let heading = uniform(rng, 0.0, TAU);
    let start = (flaw.at.0 - heading.cos() * length * 0.45, flaw.at.1 - heading.sin() * length * 0.45);
    let trunk = jagged(rng, start, heading, length);
    let mut lines = Vec::new();
    for _ in 0..1 + (flaw.severity * 4.0) as usize {
        let index = 1 + below(rng, trunk.len().saturating_sub(2));
        let (a, b) = (trunk[index - 1], trunk[index]);
        let aside = (b.1 - a.1).atan2(b.0 - a.0) + sign(rng) * uniform(rng, 0.5, 1.1);
        let reach = length * uniform(rng, 0.15, 0.4);
        lines.push((jagged(rng, b, aside, reach), width * 0.6));
    }
    lines.push((trunk, width));
    let seed = rng.next_u32();
    let unit = canvas.unit;
    for (points, width) in &lines {
        canvas.stroke(points, width * 2.0 + 1.5, |near, x, y, pixel| {
            let taper = width * (1.0 - 0.75 * near.along) * (0.8 + 0.4 * noise(x * 0.5, y * 0.5, seed));
            let line = |d: f32, w: f32| {
                let wide = w.max(0.5 / unit);
                (0.5 - (d - wide) * unit).clamp(0.0, 1.0) * (w / wide)
            };
            let on = scene.on(x, y);
            let lip = line((near.side + taper + 0.5).abs(), 0.5) * 0.35;
            *pixel = blend(*pixel, edge, lip * on);
            *pixel = blend(*pixel, deep, line(near.distance, taper) * 0.92 * on);
        });
    }
}

/// A line that keeps its general direction but turns sharply on the way, as a crack does.
fn jagged(rng: &mut ChaCha8Rng, start: Point, heading: f32, length: f32) -> Vec<Point> {
    let mut points = vec![start];
    let (mut at, mut gone, mut drift) = (start, 0.0, 0.0_f32);
    while gone < length {
        let pace = uniform(rng, 1.8, 6.0);
        drift = (drift + uniform(rng, -0.25, 0.25)).clamp(-0.7, 0.7);
        let angle = heading + drift + uniform(rng, -0.75, 0.75);
        at = (at.0 + angle.cos() * pace, at.1 + angle.sin() * pace);
        points.push(at);
        gone += pace;
    }
    points
}

fn dent(canvas: &mut Canvas, flaw: &Flaw, rng: &mut ChaCha8Rng) {
    let radius = mix(7.0, 20.0, uniform(rng, 0.0, 1.0));
    let depth = mix(0.16, 0.62, flaw.severity);
    let (sin, cos) = uniform(rng, 0.0, PI).sin_cos();
    let squash = uniform(rng, 0.6, 1.0);
    // Light comes from above; a dent's upper wall is dark, its lower wall bright.
    let (lx, ly) = (uniform(rng, -0.35, 0.35), -1.0);
    let seed = rng.next_u32();
    canvas.edit(Bounds::around(flaw.at, radius * 2.6), |x, y, pixel| {
        let (dx, dy) = (x - flaw.at.0, y - flaw.at.1);
        let (u, v) = ((dx * cos + dy * sin) / radius, (dy * cos - dx * sin) / (radius * squash));
        let r2 = (u * u + v * v) * (1.0 + 0.35 * noise(x * 0.06, y * 0.06, seed));
        let wall = (-r2 * 1.4).exp();
        let slope = (dx * lx + dy * ly) / radius * wall * 2.0;
        let rim = 0.22 * (-(r2.sqrt() - 1.25).powi(2) * 14.0).exp() * -(dx * lx + dy * ly) / radius;
        *pixel = dim(*pixel, (1.0 - depth * (slope + rim)).max(0.15) * (1.0 - 0.12 * depth * wall));
    });
}
