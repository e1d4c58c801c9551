//! Layouts of pixels in memory, and how a row of them becomes 8-bit RGB.

/// Order and depth of the values of a pixel. 16-bit values are in native byte order; every row begins with a
/// byte of its own.
///
/// What has more than 8 bit is scaled so that the largest value becomes 255: `(v * 255 + m / 2) / m` with
/// `m` the largest value of 10, 12 or 14 bit, `(v + 128) / 257` for 16 bit. Grey is repeated in the three
/// channels.
///
/// A Bayer mosaic has one colour a pixel; the name says which two the first row begins with: `BayerRg8` is
/// `R G R G ...` over `G B G B ...`, as in the names of GenICam (OpenCV calls the same `BayerRGGB`, or
/// `BayerBG`). It is interpolated bilinearly: the two colours that a pixel lacks are the means of its nearest
/// neighbours that have them, of two or four, halves rounded up. Outside the image lies its mirror image
/// about the outermost row or column, which keeps the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelFormat {
    /// One byte of grey.
    Gray8,
    /// Two bytes of grey.
    Gray16,
    /// Red, green, blue.
    Rgb8,
    /// Blue, green, red.
    Bgr8,
    /// Red, green, blue, alpha; alpha is ignored.
    Rgba8,
    /// Blue, green, red, alpha; alpha is ignored.
    Bgra8,
    /// Grey of 10 bit in two bytes: 0 to 1023, more is an error.
    Gray10,
    /// Grey of 12 bit in two bytes: 0 to 4095, more is an error.
    Gray12,
    /// Grey of 14 bit in two bytes: 0 to 16383, more is an error.
    Gray14,
    /// GigE Vision's Mono10Packed: two pixels in three bytes, their upper 8 bits in the first and the third,
    /// the lower two in bits 0 and 1, and 4 and 5, of the second. Of an odd width two bytes are the last.
    Mono10Packed,
    /// GigE Vision's Mono12Packed: two pixels in three bytes, their upper 8 bits in the first and the third,
    /// the lower four in the lower and the upper half of the second. Of an odd width two bytes are the last.
    Mono12Packed,
    /// GenICam's Mono10p: four pixels in five bytes, lowest bits first, without gaps.
    Mono10p,
    /// GenICam's Mono12p: two pixels in three bytes, lowest bits first, without gaps.
    Mono12p,
    /// Red, green, blue of two bytes each.
    Rgb16,
    /// Blue, green, red of two bytes each.
    Bgr16,
    /// Red, green, blue, alpha of two bytes each; alpha is ignored.
    Rgba16,
    /// Blue, green, red, alpha of two bytes each; alpha is ignored.
    Bgra16,
    /// Bayer mosaic of one byte a pixel, red first.
    BayerRg8,
    /// Bayer mosaic of one byte a pixel, green and red first.
    BayerGr8,
    /// Bayer mosaic of one byte a pixel, green and blue first.
    BayerGb8,
    /// Bayer mosaic of one byte a pixel, blue first.
    BayerBg8,
}

impl PixelFormat {
    /// All formats, each at its number in C.
    pub const ALL: &[Self] = &[
        Self::Gray8,
        Self::Gray16,
        Self::Rgb8,
        Self::Bgr8,
        Self::Rgba8,
        Self::Bgra8,
        Self::Gray10,
        Self::Gray12,
        Self::Gray14,
        Self::Mono10Packed,
        Self::Mono12Packed,
        Self::Mono10p,
        Self::Mono12p,
        Self::Rgb16,
        Self::Bgr16,
        Self::Rgba16,
        Self::Bgra16,
        Self::BayerRg8,
        Self::BayerGr8,
        Self::BayerGb8,
        Self::BayerBg8,
    ];

    /// Bytes of a row of `width` pixels.
    ///
    /// ```
    /// use softpatch::data::PixelFormat;
    /// assert_eq!(PixelFormat::Rgb8.row_bytes(5), 15);
    /// assert_eq!(PixelFormat::Mono12Packed.row_bytes(5), 8);
    /// ```
    pub fn row_bytes(self, width: u32) -> usize {
        let bits = match self {
            Self::Gray8 | Self::BayerRg8 | Self::BayerGr8 | Self::BayerGb8 | Self::BayerBg8 => 8,
            Self::Mono10p => 10,
            Self::Mono10Packed | Self::Mono12Packed | Self::Mono12p => 12,
            Self::Gray10 | Self::Gray12 | Self::Gray14 | Self::Gray16 => 16,
            Self::Rgb8 | Self::Bgr8 => 24,
            Self::Rgba8 | Self::Bgra8 => 32,
            Self::Rgb16 | Self::Bgr16 => 48,
            Self::Rgba16 | Self::Bgra16 => 64,
        };
        // More than a usize is more than any buffer has.
        usize::try_from((u64::from(width) * bits).div_ceil(8)).unwrap_or(usize::MAX)
    }

    /// The largest value, where two bytes have room for more.
    pub(super) fn largest(self) -> Option<u16> {
        match self {
            Self::Gray10 => Some((1 << 10) - 1),
            Self::Gray12 => Some((1 << 12) - 1),
            Self::Gray14 => Some((1 << 14) - 1),
            _ => None,
        }
    }

    /// Column and row of red in each square of four pixels of a Bayer mosaic.
    pub(super) fn red(self) -> Option<[u32; 2]> {
        match self {
            Self::BayerRg8 => Some([0, 0]),
            Self::BayerGr8 => Some([1, 0]),
            Self::BayerGb8 => Some([0, 1]),
            Self::BayerBg8 => Some([1, 1]),
            _ => None,
        }
    }

    /// Writes pixels from column `x0` of `row` on as words `r | g << 8 | b << 16`. Of a mosaic, which takes
    /// more than one row, its values as grey.
    pub(super) fn unpack(self, row: &[u8], x0: usize, out: &mut [u32]) {
        match self {
            Self::Gray8 | Self::BayerRg8 | Self::BayerGr8 | Self::BayerGb8 | Self::BayerBg8 => {
                whole(row, x0, out, |&[v]| grey(v));
            }
            Self::Gray10 => whole(row, x0, out, |&v| grey(narrow::<10>(wide(v)))),
            Self::Gray12 => whole(row, x0, out, |&v| grey(narrow::<12>(wide(v)))),
            Self::Gray14 => whole(row, x0, out, |&v| grey(narrow::<14>(wide(v)))),
            Self::Gray16 => whole(row, x0, out, |&v| grey(narrow::<16>(wide(v)))),
            Self::Mono10Packed => in_pairs::<10>(row, x0, out),
            Self::Mono12Packed => in_pairs::<12>(row, x0, out),
            Self::Mono10p => without_gaps::<10>(row, x0, out),
            Self::Mono12p => without_gaps::<12>(row, x0, out),
            Self::Rgb8 => whole(row, x0, out, |&[r, g, b]| rgb(r, g, b)),
            Self::Bgr8 => whole(row, x0, out, |&[b, g, r]| rgb(r, g, b)),
            Self::Rgba8 => whole(row, x0, out, |&[r, g, b, _]| rgb(r, g, b)),
            Self::Bgra8 => whole(row, x0, out, |&[b, g, r, _]| rgb(r, g, b)),
            Self::Rgb16 => whole(row, x0, out, |p: &[u8; 6]| wide_rgb(p, [0, 2, 4])),
            Self::Bgr16 => whole(row, x0, out, |p: &[u8; 6]| wide_rgb(p, [4, 2, 0])),
            Self::Rgba16 => whole(row, x0, out, |p: &[u8; 8]| wide_rgb(p, [0, 2, 4])),
            Self::Bgra16 => whole(row, x0, out, |p: &[u8; 8]| wide_rgb(p, [4, 2, 0])),
        }
    }
}

/// A pixel as one word.
pub(super) fn rgb(r: u8, g: u8, b: u8) -> u32 {
    u32::from(r) | u32::from(g) << 8 | u32::from(b) << 16
}

fn grey(v: u8) -> u32 {
    rgb(v, v, v)
}

fn wide(bytes: [u8; 2]) -> u32 {
    u16::from_ne_bytes(bytes).into()
}

fn wide_rgb(pixel: &[u8], at: [usize; 3]) -> u32 {
    let [r, g, b] = at.map(|at| narrow::<16>(wide([pixel[at], pixel[at + 1]])));
    rgb(r, g, b)
}

/// A value of `BITS` bits to 8 bit.
fn narrow<const BITS: u32>(v: u32) -> u8 {
    if BITS == 16 {
        return ((v + 128) / 257) as u8;
    }
    let white = (1 << BITS) - 1;
    // Values were looked at when the image was made; a caller's memory may have changed since.
    ((v * 255 + white / 2) / white).min(255) as u8
}

/// Pixels of `BYTES` whole bytes each.
fn whole<const BYTES: usize>(row: &[u8], x0: usize, out: &mut [u32], of: impl Fn(&[u8; BYTES]) -> u32) {
    let (pixels, _) = row.as_chunks();
    for (out, pixel) in out.iter_mut().zip(&pixels[x0..]) {
        *out = of(pixel);
    }
}

/// Two pixels in three bytes, what is beyond 8 bit in the second.
fn in_pairs<const BITS: u32>(row: &[u8], x0: usize, out: &mut [u32]) {
    for (out, x) in out.iter_mut().zip(x0..) {
        let (first, odd) = (x / 2 * 3, x % 2);
        let low = u32::from(row[first + 1]) >> (4 * odd) & ((1 << (BITS - 8)) - 1);
        *out = grey(narrow::<BITS>(u32::from(row[first + 2 * odd]) << (BITS - 8) | low));
    }
}

/// Pixels of 9 to 12 bits one after the other, lowest bits first; each lies in two bytes.
fn without_gaps<const BITS: u32>(row: &[u8], x0: usize, out: &mut [u32]) {
    for (out, x) in out.iter_mut().zip(x0..) {
        let bit = x * BITS as usize;
        let both = u32::from(row[bit / 8]) | u32::from(row[bit / 8 + 1]) << 8;
        *out = grey(narrow::<BITS>(both >> (bit % 8) & ((1 << BITS) - 1)));
    }
}
