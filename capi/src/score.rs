//! Images in the caller's memory to scores and maps in the caller's memory.

use crate::handles;
use crate::memory::{check, check_len, slice, slice_mut, write};
use crate::model::{Loaded, softpatch_detector};
use crate::status::{Failure, SOFTPATCH_BUFFER_TOO_SMALL, SOFTPATCH_INVALID_IMAGE, guard, softpatch_status};
use softpatch::data::{Image, PixelFormat};
use softpatch::detector::{Detector, Score, Want};
use std::ffi::c_void;

/// One byte of grey.
pub const SOFTPATCH_GRAY8: u32 = 0;
/// Two bytes of grey in native order.
pub const SOFTPATCH_GRAY16: u32 = 1;
/// Red, green, blue.
pub const SOFTPATCH_RGB8: u32 = 2;
/// Blue, green, red, as OpenCV has it.
pub const SOFTPATCH_BGR8: u32 = 3;
/// Red, green, blue, alpha; alpha is ignored.
pub const SOFTPATCH_RGBA8: u32 = 4;
/// Blue, green, red, alpha; alpha is ignored.
pub const SOFTPATCH_BGRA8: u32 = 5;
/// Grey of 10 bit in two bytes in native order: 0 to 1023 becomes 0 to 255. A larger value is
/// `SOFTPATCH_INVALID_IMAGE`, here and in the next two.
pub const SOFTPATCH_GRAY10: u32 = 6;
/// Grey of 12 bit in two bytes in native order: 0 to 4095.
pub const SOFTPATCH_GRAY12: u32 = 7;
/// Grey of 14 bit in two bytes in native order: 0 to 16383.
pub const SOFTPATCH_GRAY14: u32 = 8;
/// GigE Vision's Mono10Packed: two pixels in three bytes, their upper 8 bits in the first and the third, the
/// lower two in bits 0 and 1, and 4 and 5, of the second. Rows of packed formats begin with a byte of their
/// own; of an odd width two bytes are the last.
pub const SOFTPATCH_MONO10_PACKED: u32 = 9;
/// GigE Vision's Mono12Packed: two pixels in three bytes, their upper 8 bits in the first and the third, the
/// lower four in the lower and the upper half of the second.
pub const SOFTPATCH_MONO12_PACKED: u32 = 10;
/// GenICam's Mono10p: four pixels in five bytes, lowest bits first, without gaps.
pub const SOFTPATCH_MONO10P: u32 = 11;
/// GenICam's Mono12p: two pixels in three bytes, lowest bits first, without gaps.
pub const SOFTPATCH_MONO12P: u32 = 12;
/// Red, green, blue of two bytes each in native order.
pub const SOFTPATCH_RGB16: u32 = 13;
/// Blue, green, red of two bytes each in native order, as OpenCV has it.
pub const SOFTPATCH_BGR16: u32 = 14;
/// Red, green, blue, alpha of two bytes each in native order; alpha is ignored.
pub const SOFTPATCH_RGBA16: u32 = 15;
/// Blue, green, red, alpha of two bytes each in native order; alpha is ignored.
pub const SOFTPATCH_BGRA16: u32 = 16;
/// Bayer mosaic of one byte a pixel, rows R G R G over G B G B (GenICam's BayerRG8, OpenCV's BayerRGGB), two
/// by two pixels at least. The two colours that a pixel lacks are the means of its nearest neighbours that
/// have them, halves rounded up; at the border the mosaic is mirrored.
pub const SOFTPATCH_BAYER_RG8: u32 = 17;
/// Bayer mosaic of one byte a pixel, rows G R G R over B G B G.
pub const SOFTPATCH_BAYER_GR8: u32 = 18;
/// Bayer mosaic of one byte a pixel, rows G B G B over R G R G.
pub const SOFTPATCH_BAYER_GB8: u32 = 19;
/// Bayer mosaic of one byte a pixel, rows B G B G over G R G R.
pub const SOFTPATCH_BAYER_BG8: u32 = 20;

/// No map.
pub const SOFTPATCH_MAP_NONE: u32 = 0;
/// The patch scores: `grid_rows * grid_columns` values.
pub const SOFTPATCH_MAP_GRID: u32 = 1;
/// The map of the model's frame: `frame_rows * frame_columns` values.
pub const SOFTPATCH_MAP_FRAME: u32 = 2;
/// The map in the size of the source image: `width * height` values, 0 where the model does not look.
pub const SOFTPATCH_MAP_SOURCE: u32 = 3;

/// The score passes the threshold.
pub const SOFTPATCH_VERDICT_ANOMALOUS: i32 = 1;
/// The score does not pass the threshold.
pub const SOFTPATCH_VERDICT_NORMAL: i32 = 0;
/// The model has no threshold.
pub const SOFTPATCH_VERDICT_UNKNOWN: i32 = -1;

/// An image in the caller's memory.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct softpatch_image {
    /// The first pixel of the first row.
    pub pixels: *const c_void,
    /// Bytes that may be read from `pixels` on.
    pub size: usize,
    /// Bytes from the start of a row to the start of the next; 0: rows without gaps.
    pub stride: usize,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `SOFTPATCH_GRAY8` or another of the constants beside it.
    pub format: u32,
    /// For later use: 0.
    pub reserved: u32,
}

/// The score of an image.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct softpatch_result {
    /// The frame of a stream; the index in a batch.
    pub ticket: u64,
    /// Nanoseconds from submission to stream to the result; 0 where there was no stream.
    pub latency_ns: u64,
    /// Largest patch score; not bounded above.
    pub score: f32,
    /// `SOFTPATCH_VERDICT_ANOMALOUS`, `SOFTPATCH_VERDICT_NORMAL` or `SOFTPATCH_VERDICT_UNKNOWN`.
    pub verdict: i32,
    /// Width of the map that was written; 0 for none.
    pub map_width: u32,
    /// Height of the map that was written; 0 for none.
    pub map_height: u32,
}

impl softpatch_image {
    /// # Safety
    /// `pixels` is null or good for `size` bytes for the lifetime.
    pub(crate) unsafe fn borrow<'a>(&self, what: &str) -> Result<Image<'a>, Failure> {
        let format = PixelFormat::ALL.get(self.format as usize).copied().ok_or_else(|| {
            let last = PixelFormat::ALL.len() - 1;
            Failure::argument(format!("{what}: format is {}, it must be 0 to {last}", self.format))
        })?;
        if self.reserved != 0 {
            return Err(Failure::argument(format!("{what}: reserved is {}, it must be 0", self.reserved)));
        }
        let pixels: *const u8 = self.pixels.cast();
        check(pixels, &format!("{what}: pixels"))?;
        // SAFETY: passed on.
        let bytes = unsafe { slice(pixels, self.size, what) }?;
        let stride = if self.stride == 0 { format.row_bytes(self.width) } else { self.stride };
        Image::new(bytes, self.width, self.height, stride, format)
            .map_err(|e| Failure::new(SOFTPATCH_INVALID_IMAGE, format!("{what}: {e}")))
    }
}

/// Width and height of a map.
pub(crate) fn map_size(detector: &Detector, kind: u32, source: [u32; 2]) -> Result<[u32; 2], Failure> {
    let info = detector.info();
    match kind {
        SOFTPATCH_MAP_NONE => Ok([0, 0]),
        SOFTPATCH_MAP_GRID => Ok([info.grid[1], info.grid[0]]),
        SOFTPATCH_MAP_FRAME => Ok([info.frame[1], info.frame[0]]),
        SOFTPATCH_MAP_SOURCE => Ok(source),
        other => Err(Failure::argument(format!("map kind is {other}, it must be 0 to 3"))),
    }
}

/// Borrows the caller's map after checking that it is large enough; of exactly the map's size.
///
/// # Safety
/// `map` is null or good for `len` floats that nobody else uses for the lifetime.
pub(crate) unsafe fn map_buffer<'a>(
    map: *mut f32,
    len: usize,
    [width, height]: [u32; 2],
    what: &str,
) -> Result<&'a mut [f32], Failure> {
    let need = (width as usize).saturating_mul(height as usize);
    if need == 0 {
        return Ok(&mut []);
    }
    check(map, what)?;
    check_len::<f32>(len, what)?;
    if len < need {
        return Err(Failure::new(
            SOFTPATCH_BUFFER_TOO_SMALL,
            format!("{what}: {width}x{height} values are needed, there is room for {len}"),
        ));
    }
    // SAFETY: passed on.
    unsafe { slice_mut(map, need, what) }
}

/// Borrows a map that the caller has, of exactly its size.
///
/// # Safety
/// `map` is null or good for `len` floats, unchanged for the lifetime.
pub(crate) unsafe fn map_of<'a>(
    map: *const f32,
    len: usize,
    [width, height]: [u32; 2],
) -> Result<&'a [f32], Failure> {
    let need = (width as usize).saturating_mul(height as usize);
    if need == 0 || len < need {
        return Err(Failure::argument(format!("map: {len} values are no map of {width}x{height}")));
    }
    check_len::<f32>(len, "map")?;
    // SAFETY: passed on.
    unsafe { slice(map, need, "map") }
}

/// What is wanted of an image whose map is of `kind`.
pub(crate) fn want(kind: u32) -> Want {
    match kind {
        SOFTPATCH_MAP_FRAME => Want::Maps,
        SOFTPATCH_MAP_SOURCE => Want::Source,
        _ => Want::Scores,
    }
}

/// A score as C has it; its map, which has the size of `out`, goes there.
pub(crate) fn write_score(score: &Score, kind: u32, size: [u32; 2], out: &mut [f32]) -> softpatch_result {
    if kind != SOFTPATCH_MAP_NONE {
        out.copy_from_slice(if kind == SOFTPATCH_MAP_GRID { &score.patches } else { &score.map });
    }
    softpatch_result {
        ticket: 0,
        latency_ns: 0,
        score: score.score,
        verdict: verdict(score),
        map_width: size[0],
        map_height: size[1],
    }
}

fn verdict(score: &Score) -> i32 {
    match score.anomalous {
        None => SOFTPATCH_VERDICT_UNKNOWN,
        Some(false) => SOFTPATCH_VERDICT_NORMAL,
        Some(true) => SOFTPATCH_VERDICT_ANOMALOUS,
    }
}

/// Width and height of the map of `kind` (one of `SOFTPATCH_MAP_*`) for a source image of `width` x `height`
/// pixels; 0 and 0 for `SOFTPATCH_MAP_NONE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_map_size(
    detector: softpatch_detector,
    kind: u32,
    width: u32,
    height: u32,
    map_width: *mut u32,
    map_height: *mut u32,
) -> softpatch_status {
    guard(|| {
        let loaded = handles::get::<Loaded>(detector)?;
        check(map_width, "map_width")?;
        check(map_height, "map_height")?;
        let [w, h] = map_size(&loaded.detector, kind, [width, height])?;
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe {
            write(map_width, w, "map_width")?;
            write(map_height, h, "map_height")
        }
    })
}

/// Writes the column and the row, in pixels of the image, where an image of `width` x `height` looks most
/// wrong: of the largest value of its map of `map_kind`, which `softpatch_score` or another wrote to `map`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_peak(
    detector: softpatch_detector,
    map_kind: u32,
    map: *const f32,
    map_len: usize,
    width: u32,
    height: u32,
    x: *mut u32,
    y: *mut u32,
) -> softpatch_status {
    guard(|| {
        let loaded = handles::get::<Loaded>(detector)?;
        check(x, "x")?;
        check(y, "y")?;
        let [columns, rows] = map_size(&loaded.detector, map_kind, [width, height])?;
        // SAFETY: the caller's pointers, by the crate's contract.
        let map = unsafe { map_of(map, map_len, [columns, rows]) }?;
        let want = want(map_kind);
        let at = loaded.detector.peak(map, [rows, columns], want, [width, height])?;
        // SAFETY: as above.
        unsafe {
            write(x, at[0], "x")?;
            write(y, at[1], "y")
        }
    })
}

/// Scores an image.
///
/// `map` takes the map of `map_kind` row by row, and has room for `map_len` values; it may be null for
/// `SOFTPATCH_MAP_NONE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_score(
    detector: softpatch_detector,
    image: *const softpatch_image,
    map_kind: u32,
    map: *mut f32,
    map_len: usize,
    result: *mut softpatch_result,
) -> softpatch_status {
    guard(|| {
        check(image, "image")?;
        check(result, "result")?;
        // SAFETY: the caller's pointers, by the crate's contract.
        unsafe { score(detector, image, 1, map_kind, &[(map, map_len)], result) }
    })
}

/// Scores `count` images.
///
/// `maps[i]` takes the map of image `i` and has room for `map_lens[i]` values; both may be null for
/// `SOFTPATCH_MAP_NONE`. `results` has room for `count` results.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_score_batch(
    detector: softpatch_detector,
    images: *const softpatch_image,
    count: usize,
    map_kind: u32,
    maps: *const *mut f32,
    map_lens: *const usize,
    results: *mut softpatch_result,
) -> softpatch_status {
    guard(|| {
        let maps = if map_kind == SOFTPATCH_MAP_NONE {
            Vec::new()
        } else {
            // SAFETY: the caller's pointers, by the crate's contract.
            let (maps, lens) = unsafe { (slice(maps, count, "maps")?, slice(map_lens, count, "map_lens")?) };
            maps.iter().copied().zip(lens.iter().copied()).collect()
        };
        // SAFETY: as above.
        unsafe { score(detector, images, count, map_kind, &maps, results) }
    })
}

/// # Safety
/// The caller's pointers, by the crate's contract.
unsafe fn score(
    detector: softpatch_detector,
    images: *const softpatch_image,
    count: usize,
    map_kind: u32,
    maps: &[(*mut f32, usize)],
    results: *mut softpatch_result,
) -> Result<(), Failure> {
    let loaded = handles::get::<Loaded>(detector)?;
    let detector = &loaded.detector;
    // SAFETY: passed on.
    let (descriptions, results) =
        unsafe { (slice(images, count, "images")?, slice_mut(results, count, "results")?) };
    let mut images = Vec::with_capacity(count);
    let mut buffers = Vec::with_capacity(count);
    for (i, description) in descriptions.iter().enumerate() {
        // SAFETY: passed on.
        images.push(unsafe { description.borrow(&format!("images[{i}]")) }?);
        let size = map_size(detector, map_kind, [description.width, description.height])?;
        let (map, len) = maps.get(i).copied().unwrap_or((std::ptr::null_mut(), 0));
        // Checked now, before any work; borrowed again one by one, since a caller may give one buffer twice.
        // SAFETY: passed on.
        unsafe { map_buffer(map, len, size, &format!("maps[{i}]")) }?;
        buffers.push((size, map, len));
    }
    map_size(detector, map_kind, [1, 1])?;
    let scores = detector.score_with(&images, want(map_kind))?;
    for (i, ((score, (size, map, len)), result)) in
        scores.iter().zip(buffers).zip(results.iter_mut()).enumerate()
    {
        // SAFETY: passed on.
        let out = unsafe { map_buffer(map, len, size, "map") }?;
        *result = softpatch_result { ticket: i as u64, ..write_score(score, map_kind, size, out) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the header are those by which formats are looked up.
    #[test]
    fn formats_have_their_numbers() {
        let number = |format| match format {
            PixelFormat::Gray8 => SOFTPATCH_GRAY8,
            PixelFormat::Gray16 => SOFTPATCH_GRAY16,
            PixelFormat::Rgb8 => SOFTPATCH_RGB8,
            PixelFormat::Bgr8 => SOFTPATCH_BGR8,
            PixelFormat::Rgba8 => SOFTPATCH_RGBA8,
            PixelFormat::Bgra8 => SOFTPATCH_BGRA8,
            PixelFormat::Gray10 => SOFTPATCH_GRAY10,
            PixelFormat::Gray12 => SOFTPATCH_GRAY12,
            PixelFormat::Gray14 => SOFTPATCH_GRAY14,
            PixelFormat::Mono10Packed => SOFTPATCH_MONO10_PACKED,
            PixelFormat::Mono12Packed => SOFTPATCH_MONO12_PACKED,
            PixelFormat::Mono10p => SOFTPATCH_MONO10P,
            PixelFormat::Mono12p => SOFTPATCH_MONO12P,
            PixelFormat::Rgb16 => SOFTPATCH_RGB16,
            PixelFormat::Bgr16 => SOFTPATCH_BGR16,
            PixelFormat::Rgba16 => SOFTPATCH_RGBA16,
            PixelFormat::Bgra16 => SOFTPATCH_BGRA16,
            PixelFormat::BayerRg8 => SOFTPATCH_BAYER_RG8,
            PixelFormat::BayerGr8 => SOFTPATCH_BAYER_GR8,
            PixelFormat::BayerGb8 => SOFTPATCH_BAYER_GB8,
            PixelFormat::BayerBg8 => SOFTPATCH_BAYER_BG8,
            other => panic!("{other:?} has no number in C"),
        };
        for (at, format) in PixelFormat::ALL.iter().enumerate() {
            assert_eq!(number(*format), at as u32, "{format:?}");
        }
    }
}
