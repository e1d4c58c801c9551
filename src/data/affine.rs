//! Small random affine moves of an image.

use super::OwnedImage;
use crate::Result;
use rand::Rng;

/// An affine move about the image's centre `c`: a point `p` goes to
/// `c + shift + scale * R(rotation) * H(shear) * (p - c)`, with the shear `x += tan(shear) * y`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Degrees, clockwise as seen.
    pub rotation: f64,
    /// Shift to the right, as a share of the width.
    pub shift_x: f64,
    /// Shift downwards, as a share of the height.
    pub shift_y: f64,
    /// Magnification, above 0.
    pub scale: f64,
    /// Degrees, between -90 and 90.
    pub shear: f64,
}

impl Affine {
    /// The move that changes nothing.
    pub const IDENTITY: Self = Self { rotation: 0.0, shift_x: 0.0, shift_y: 0.0, scale: 1.0, shear: 0.0 };

    /// Draws a move: rotation and shear up to 10 degrees, shift up to 0.1, scale 0.9 to 1.1, all uniform,
    /// either way ("augmented overlap" of the SoftPatch paper).
    pub fn random(rng: &mut impl Rng) -> Self {
        Self {
            rotation: rng.random_range(-10.0..=10.0),
            shift_x: rng.random_range(-0.1..=0.1),
            shift_y: rng.random_range(-0.1..=0.1),
            scale: rng.random_range(0.9..=1.1),
            shear: rng.random_range(-10.0..=10.0),
        }
    }

    /// Moves an image: same size, bilinear between pixel centres, and what comes from outside takes the
    /// nearest border pixel's colour.
    ///
    /// # Errors
    /// [`Error::InvalidImage`](crate::Error::InvalidImage) where the pixels do not fit the size.
    pub fn apply(&self, image: &OwnedImage) -> Result<OwnedImage> {
        image.as_image()?;
        let (width, height) = (image.width as usize, image.height as usize);
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        let tan = self.shear.to_radians().tan();
        let (cx, cy) = (width as f64 / 2.0, height as f64 / 2.0);
        let (shift_x, shift_y) = (self.shift_x * width as f64, self.shift_y * height as f64);
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                // Back from where the pixel comes to, to where it comes from.
                let dx = (x as f64 + 0.5 - cx - shift_x) / self.scale;
                let dy = (y as f64 + 0.5 - cy - shift_y) / self.scale;
                let (dx, dy) = (cos * dx + sin * dy, cos * dy - sin * dx);
                let (x0, x1, fx) = neighbours(cx + dx - tan * dy, width);
                let (y0, y1, fy) = neighbours(cy + dy, height);
                for c in 0..3 {
                    let at = |y: usize, x: usize| f64::from(image.pixels[(y * width + x) * 3 + c]);
                    let top = at(y0, x0) + fx * (at(y0, x1) - at(y0, x0));
                    let bottom = at(y1, x0) + fx * (at(y1, x1) - at(y1, x0));
                    pixels.push((top + fy * (bottom - top)).round() as u8);
                }
            }
        }
        Ok(OwnedImage { width: image.width, height: image.height, pixels })
    }
}

/// The two pixels around a coordinate, kept inside, and the share of the second.
fn neighbours(at: f64, side: usize) -> (usize, usize, f64) {
    let at = (at - 0.5).clamp(0.0, (side - 1) as f64);
    let first = at as usize;
    (first, (first + 1).min(side - 1), at - at.floor())
}
