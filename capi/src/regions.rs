//! Connected areas of a map above a threshold, into the caller's memory.

use crate::handles;
use crate::memory::{check, check_len, slice_mut, write};
use crate::model::{Loaded, softpatch_detector};
use crate::score::map_of;
use crate::status::{Failure, SOFTPATCH_BUFFER_TOO_SMALL, guard, softpatch_status};

/// A connected area of a map: pixels above a threshold that touch by a side or by a corner.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct softpatch_region {
    /// First column of the smallest box around it.
    pub x: u32,
    /// First row of the box.
    pub y: u32,
    /// Columns of the box.
    pub width: u32,
    /// Rows of the box.
    pub height: u32,
    /// Number of its pixels.
    pub area: u32,
    /// Its largest value.
    pub peak: f32,
    /// Column of that value.
    pub peak_x: u32,
    /// Row of that value.
    pub peak_y: u32,
    /// Number of its contour's first point among the points of all regions.
    pub first_point: u32,
    /// Points of its contour.
    pub point_count: u32,
}

/// A corner of pixels: pixel `(x, y)` has the corners `(x, y)` and `(x + 1, y + 1)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct softpatch_point {
    /// Columns left of it.
    pub x: u32,
    /// Rows above it.
    pub y: u32,
}

/// Finds the connected areas above `threshold` of a map of `width` x `height` values (`SOFTPATCH_MAP_SOURCE`
/// as `softpatch_score` writes it, say). NAN for `threshold` is the model's: its pixel threshold, or that of
/// images where it has none (`pixel_threshold` and `threshold` of `softpatch_detector_info_json`); where it
/// has neither, there are no areas.
///
/// The areas go to `regions`, the largest first, and their number to `region_count`; the outer boundaries of
/// all, one after the other, to `points`, and their number to `point_count`. A boundary is a polygon,
/// clockwise as one sees the picture, whose last point joins its first; holes are not cut out. A null array
/// with capacity 0 only asks for the number. Where an array that is not null is too small, the numbers are
/// written and no array is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softpatch_regions(
    detector: softpatch_detector,
    map: *const f32,
    map_len: usize,
    width: u32,
    height: u32,
    threshold: f32,
    regions: *mut softpatch_region,
    region_capacity: usize,
    region_count: *mut usize,
    points: *mut softpatch_point,
    point_capacity: usize,
    point_count: *mut usize,
) -> softpatch_status {
    guard(|| {
        let loaded = handles::get::<Loaded>(detector)?;
        check(region_count, "region_count")?;
        check(point_count, "point_count")?;
        let model = loaded.detector.info().map_threshold().unwrap_or(f32::INFINITY);
        let threshold = if threshold.is_nan() { model } else { threshold };
        // SAFETY: the caller's pointers, by the crate's contract.
        let map = unsafe { map_of(map, map_len, [width, height]) }?;
        let (mut areas, mut corners) = (Vec::new(), Vec::new());
        for region in softpatch::detector::regions(map, [height, width], threshold)? {
            let [x, y, width, height] = region.bbox;
            let (first, count) = (u32::try_from(corners.len()), u32::try_from(region.contour.len()));
            areas.push(softpatch_region {
                x,
                y,
                width,
                height,
                area: region.area,
                peak: region.peak,
                peak_x: region.peak_at[0],
                peak_y: region.peak_at[1],
                first_point: first.unwrap_or(u32::MAX),
                point_count: count.unwrap_or(u32::MAX),
            });
            corners.extend(region.contour.into_iter().map(|[x, y]| softpatch_point { x, y }));
        }
        // SAFETY: as above.
        unsafe {
            write(region_count, areas.len(), "region_count")?;
            write(point_count, corners.len(), "point_count")?;
            let regions = room(regions, region_capacity, areas.len(), "regions")?;
            let points = room(points, point_capacity, corners.len(), "points")?;
            regions.iter_mut().zip(areas).for_each(|(to, from)| *to = from);
            points.iter_mut().zip(corners).for_each(|(to, from)| *to = from);
        }
        Ok(())
    })
}

/// The caller's array, of which `needed` elements are written; none where it is null.
///
/// # Safety
/// `array` is null or good for `capacity` elements that nobody else uses for the lifetime.
unsafe fn room<'a, T>(
    array: *mut T,
    capacity: usize,
    needed: usize,
    what: &str,
) -> Result<&'a mut [T], Failure> {
    if array.is_null() && capacity == 0 {
        return Ok(&mut []);
    }
    check(array, what)?;
    check_len::<T>(capacity, what)?;
    if capacity < needed {
        return Err(Failure::new(
            SOFTPATCH_BUFFER_TOO_SMALL,
            format!("{what}: {needed} elements are needed, there is room for {capacity}"),
        ));
    }
    // SAFETY: passed on.
    unsafe { slice_mut(array, needed, what) }
}
