//! Connected areas of a map above a threshold, each with its place, its size and its outline.

use crate::{Error, Result};
use serde::Serialize;

/// A connected area of a map: pixels above the threshold that touch by a side or by a corner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Region {
    /// `[x, y, width, height]` of the smallest box around it, in pixels.
    pub bbox: [u32; 4],
    /// Number of its pixels.
    pub area: u32,
    /// Its largest value.
    pub peak: f32,
    /// Column and row of that value; the first, row by row, of equal ones.
    pub peak_at: [u32; 2],
    /// Its outer boundary as a polygon `[x, y]` of pixel corners, clockwise as one sees the picture: pixel
    /// `(x, y)` has the corners `(x, y)` and `(x + 1, y + 1)`. It begins at the left end of its topmost edge,
    /// the last corner joins the first, and none lies on the straight line between its neighbours. Where two
    /// pixels touch by a corner alone, it passes that corner twice. Holes are not cut out.
    pub contour: Vec<[u32; 2]>,
}

/// The regions of `map` (`[height][width]`, row by row) above `threshold`, largest area first; of equal areas
/// the higher peak comes first, and of equal peaks that which lies first, row by row. A value that is not
/// above the threshold, as a NaN is not, belongs to none. Takes time in proportion to the pixels.
///
/// ```
/// use softpatch::detector::regions;
///
/// let map = [0.0, 3.0, 0.0, 0.0, 2.0, 2.5, 0.0, 0.0, 0.0];
/// let found = regions(&map, [3, 3], 1.0)?;
/// assert_eq!((found[0].bbox, found[0].area, found[0].peak_at), ([1, 0, 2, 2], 3, [1, 0]));
/// assert_eq!(found[0].contour, [[1, 0], [2, 0], [2, 1], [3, 1], [3, 2], [1, 2]]);
/// # Ok::<(), softpatch::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidOption`] where the map does not have `height * width` values, or more than can be
/// numbered in 32 bits.
pub fn regions(map: &[f32], [height, width]: [u32; 2], threshold: f32) -> Result<Vec<Region>> {
    let pixels = u64::from(height) * u64::from(width);
    if map.len() as u64 != pixels || pixels >= u64::from(NONE) {
        return Err(Error::InvalidOption(format!("a map of {} values for {width}x{height}", map.len())));
    }
    let mut found: Vec<Region> = Vec::new();
    let labels = label(
        map.len(),
        width as usize,
        |i| map[i] > threshold,
        |region, at| {
            let place = [at % width as usize, at / width as usize].map(|v| v as u32);
            if region == found.len() {
                // For now the last column and row in the place of the size.
                let [x, y] = place;
                found.push(Region {
                    bbox: [x, y, x, y],
                    area: 0,
                    peak: map[at],
                    peak_at: place,
                    contour: vec![],
                });
            }
            let (region, [x, y]) = (&mut found[region], place);
            let [left, top, right, bottom] = region.bbox;
            region.bbox = [left.min(x), top.min(y), right.max(x), bottom.max(y)];
            region.area += 1;
            let first = |[x, y]: [u32; 2]| (y, x);
            if map[at] > region.peak || (map[at] == region.peak && first(place) < first(region.peak_at)) {
                (region.peak, region.peak_at) = (map[at], place);
            }
        },
    );
    // The first pixel of each, row by row.
    let mut next = 0;
    for (at, &region) in labels.iter().enumerate() {
        if region == next {
            found[next as usize].contour = contour(&labels, [height, width], at, next);
            next += 1;
        }
    }
    for region in &mut found {
        let [left, top, right, bottom] = region.bbox;
        region.bbox = [left, top, right - left + 1, bottom - top + 1];
    }
    found.sort_by(|a, b| {
        let place = |r: &Region| (r.peak_at[1], r.peak_at[0]);
        b.area.cmp(&a.area).then(b.peak.total_cmp(&a.peak)).then(place(a).cmp(&place(b)))
    });
    Ok(found)
}

/// Label of a pixel that belongs to no component.
pub(crate) const NONE: u32 = u32::MAX;

/// Numbers the 8-connected components of `pixels` pixels in rows of `width`, of which those count that `is`
/// says yes to, from 0 on in the order of their first pixels; `found` hears of every such pixel with its
/// component, the first one first.
pub(crate) fn label(
    pixels: usize,
    width: usize,
    is: impl Fn(usize) -> bool,
    mut found: impl FnMut(usize, usize),
) -> Vec<u32> {
    let height = pixels / width.max(1);
    let mut labels = vec![NONE; pixels];
    let (mut open, mut count) = (Vec::new(), 0);
    for start in 0..pixels {
        if labels[start] != NONE || !is(start) {
            continue;
        }
        labels[start] = count;
        open.push(start);
        while let Some(at) = open.pop() {
            found(count as usize, at);
            let (x, y) = (at % width, at / width);
            for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let next = ny * width + nx;
                    if labels[next] == NONE && is(next) {
                        labels[next] = count;
                        open.push(next);
                    }
                }
            }
        }
        count += 1;
    }
    labels
}

/// The outer boundary of component `of`, whose first pixel is `start`: from corner to corner along its edges,
/// the component always on the right.
fn contour(labels: &[u32], [height, width]: [u32; 2], start: usize, of: u32) -> Vec<[u32; 2]> {
    /// Right, down, left, up.
    const STEPS: [[i64; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];
    let inside = |x: i64, y: i64| {
        (0..i64::from(width)).contains(&x)
            && (0..i64::from(height)).contains(&y)
            && labels[y as usize * width as usize + x as usize] == of
    };
    // The two pixels ahead of a corner, as one walks on from it: left and right of the line.
    let ahead = |[x, y]: [i64; 2], direction: usize| match direction {
        0 => [inside(x, y - 1), inside(x, y)],
        1 => [inside(x, y), inside(x - 1, y)],
        2 => [inside(x - 1, y), inside(x - 1, y - 1)],
        _ => [inside(x - 1, y - 1), inside(x, y - 1)],
    };
    let first = [(start % width as usize) as i64, (start / width as usize) as i64];
    let mut polygon = vec![[first[0] as u32, first[1] as u32]];
    // No pixel of the component lies above or left of the first: the boundary passes its corner once.
    let (mut at, mut direction) = (first, 0);
    loop {
        at = [at[0] + STEPS[direction][0], at[1] + STEPS[direction][1]];
        if at == first {
            return polygon;
        }
        let turned = match ahead(at, direction) {
            // A pixel that touches by its corner belongs to the component as well: around it.
            [true, _] => (direction + 3) % 4,
            [false, true] => direction,
            [false, false] => (direction + 1) % 4,
        };
        if turned != direction {
            polygon.push([at[0] as u32, at[1] as u32]);
            direction = turned;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map from a drawing: `.` is 0, a digit itself.
    fn drawn(rows: &[&str]) -> (Vec<f32>, [u32; 2]) {
        let values = rows.iter().flat_map(|row| row.chars()).map(|c| c.to_digit(10).unwrap_or(0) as f32);
        (values.collect(), [rows.len() as u32, rows[0].len() as u32])
    }

    fn found(rows: &[&str]) -> Vec<Region> {
        let (map, size) = drawn(rows);
        regions(&map, size, 0.5).unwrap()
    }

    /// Twice the area inside a polygon, positive where it is clockwise with rows downwards.
    fn twice_area(polygon: &[[u32; 2]]) -> i64 {
        let next = polygon.iter().cycle().skip(1);
        polygon
            .iter()
            .zip(next)
            .map(|(a, b)| i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1]))
            .sum()
    }

    #[test]
    fn a_pixel_has_four_corners() {
        let all = found(&["...", "..7", "..."]);
        let contour = vec![[2, 1], [3, 1], [3, 2], [2, 2]];
        assert_eq!(all, [Region { bbox: [2, 1, 1, 1], area: 1, peak: 7.0, peak_at: [2, 1], contour }]);
        let all = found(&["1"]);
        assert_eq!((all[0].bbox, all[0].contour.len()), ([0, 0, 1, 1], 4));
    }

    #[test]
    fn everything_above_is_one_region() {
        let all = found(&["1234", "1294", "1294"]);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].bbox, all[0].area, all[0].peak), ([0, 0, 4, 3], 12, 9.0));
        assert_eq!(all[0].peak_at, [2, 1]);
        assert_eq!(all[0].contour, [[0, 0], [4, 0], [4, 3], [0, 3]]);
    }

    #[test]
    fn pixels_that_touch_by_a_corner_are_one_region() {
        let all = found(&["1...", ".2..", "1...", "...."]);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].bbox, all[0].area, all[0].peak_at), ([0, 0, 2, 3], 3, [1, 1]));
        let want =
            [[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [1, 2], [1, 3], [0, 3], [0, 2], [1, 2], [1, 1], [0, 1]];
        assert_eq!(all[0].contour, want);
        assert_eq!(twice_area(&all[0].contour), 6);
        // The other diagonal.
        let all = found(&["..1", ".1.", "1.."]);
        assert_eq!((all.len(), twice_area(&all[0].contour)), (1, 6));
    }

    #[test]
    fn holes_are_inside_the_contour_and_not_in_the_area() {
        let all = found(&["11111", "1...1", "1.5.1", "1...1", "11111"]);
        assert_eq!(all.iter().map(|r| (r.area, r.peak)).collect::<Vec<_>>(), [(16, 1.0), (1, 5.0)]);
        assert_eq!(all[0].contour, [[0, 0], [5, 0], [5, 5], [0, 5]]);
        assert_eq!(all[1].bbox, [2, 2, 1, 1]);
        // A hole that is open by a corner is one: what is not above the threshold connects by sides alone.
        let all = found(&[".11", "1.1", "111"]);
        assert_eq!((all.len(), all[0].area, twice_area(&all[0].contour)), (1, 7, 16));
    }

    #[test]
    fn the_largest_comes_first_and_of_equals_the_higher_and_then_the_first() {
        let all = found(&["2.33.2", "......", "4.1111"]);
        let order: Vec<_> = all.iter().map(|r| (r.area, r.peak, r.peak_at)).collect();
        let want = [(4, 1.0, [2, 2]), (2, 3.0, [2, 0]), (1, 4.0, [0, 2]), (1, 2.0, [0, 0]), (1, 2.0, [5, 0])];
        assert_eq!(order, want);
    }

    #[test]
    fn what_is_not_above_the_threshold_counts_for_nothing() {
        let map = [f32::NAN, 1.0, f32::INFINITY, f32::NAN, 1.5, 0.0];
        let all = regions(&map, [2, 3], 1.0).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].area, all[0].peak, all[0].peak_at), (2, f32::INFINITY, [2, 0]));
        for (threshold, count) in [(f32::NAN, 0), (f32::INFINITY, 0), (f32::NEG_INFINITY, 1)] {
            assert_eq!(regions(&map, [2, 3], threshold).unwrap().len(), count, "{threshold}");
        }
        assert!(regions(&[], [0, 7], 0.0).unwrap().is_empty());
        assert!(regions(&map, [2, 2], 1.0).is_err() && regions(&map, [7, 0], 1.0).is_err());
    }

    /// Against a search that knows nothing of labels and of walking: the area inside the contour is that of
    /// the region with everything that cannot be left by sides without crossing it.
    #[test]
    fn contours_go_around_whatever_is_enclosed() {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        for density in [0.2, 0.4, 0.5, 0.6, 0.9] {
            let (height, width) = (23, 31);
            let map: Vec<f32> = (0..height * width).map(|_| f32::from(rng.random_bool(density))).collect();
            let all = regions(&map, [height as u32, width as u32], 0.5).unwrap();
            assert_eq!(all.iter().map(|r| r.area).sum::<u32>() as f32, map.iter().sum::<f32>());
            for region in &all {
                let [x, y] = region.peak_at.map(|v| v as usize);
                // Everything that is joined to the first pixel by a side or a corner, and then all that is
                // reached from outside a frame around the map.
                let mut own = vec![false; map.len()];
                own[y * width + x] = true;
                for _ in 0..map.len() {
                    let before = own.clone();
                    for at in (0..map.len()).filter(|&at| map[at] > 0.5) {
                        let (x, y) = (at % width, at / width);
                        own[at] |= (y.saturating_sub(1)..(y + 2).min(height)).any(|ny| {
                            (x.saturating_sub(1)..(x + 2).min(width)).any(|nx| own[ny * width + nx])
                        });
                    }
                    if own == before {
                        break;
                    }
                }
                let mut outside = vec![false; map.len()];
                for _ in 0..map.len() {
                    let before = outside.clone();
                    for at in (0..map.len()).filter(|&at| !own[at]) {
                        let (x, y) = (at % width, at / width);
                        let border = x == 0 || y == 0 || x + 1 == width || y + 1 == height;
                        outside[at] |= border
                            || [at - 1, at + 1, at - width, at + width].iter().any(|&next| outside[next]);
                    }
                    if outside == before {
                        break;
                    }
                }
                let enclosed = outside.iter().filter(|o| !**o).count() as i64;
                assert_eq!(own.iter().filter(|o| **o).count(), region.area as usize);
                assert_eq!(twice_area(&region.contour), 2 * enclosed, "{density} {region:?}");
                let corners = &region.contour;
                for (i, b) in corners.iter().enumerate() {
                    let (a, c) =
                        (corners[(i + corners.len() - 1) % corners.len()], corners[(i + 1) % corners.len()]);
                    assert!((a[0] == b[0]) != (b[0] == c[0]), "{region:?}");
                }
            }
        }
    }
}
