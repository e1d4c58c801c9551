//! Peaks and regions of maps through the C ABI.

use super::*;
use softpatch::detector::regions;

#[test]
fn peaks_and_regions_are_those_of_the_rust_api() {
    let _turn = turn();
    let context = context();
    let detector = load(context);
    let rust = &fitted().1;
    let mut image = images(1).remove(0);
    for row in 40..56 {
        image.pixels[((row * SIZE + 20) * 3) as usize..][..48].fill(0);
    }
    let c = c_image(&image);
    for (kind, want) in [
        (SOFTPATCH_MAP_GRID, Want::Scores),
        (SOFTPATCH_MAP_FRAME, Want::Maps),
        (SOFTPATCH_MAP_SOURCE, Want::Source),
    ] {
        let score = rust.score_one(&image.as_image().unwrap(), want).unwrap();
        let (mut w, mut h) = (0, 0);
        ok(unsafe { softpatch_map_size(detector, kind, SIZE, SIZE, &mut w, &mut h) });
        let (mut map, len) = (vec![f32::NAN; (w * h) as usize], (w * h) as usize);
        let mut result = softpatch_result::default();
        ok(unsafe { softpatch_score(detector, &c, kind, map.as_mut_ptr(), len, &mut result) });
        let (mut x, mut y) = (u32::MAX, u32::MAX);
        ok(unsafe { softpatch_peak(detector, kind, map.as_ptr(), len, SIZE, SIZE, &mut x, &mut y) });
        assert_eq!([x, y], score.peak, "map {kind}");
        let short =
            unsafe { softpatch_peak(detector, kind, map.as_ptr(), len - 1, SIZE, SIZE, &mut x, &mut y) };
        assert_eq!(short, SOFTPATCH_INVALID_ARGUMENT);
        if kind != SOFTPATCH_MAP_SOURCE {
            continue;
        }

        for threshold in [f32::NAN, 0.0, 0.5 * score.score, f32::INFINITY] {
            let model = rust.info().pixel_threshold.unwrap();
            let at = if threshold.is_nan() { model } else { threshold };
            let want = regions(&score.map, [SIZE; 2], at).unwrap();
            let find =
                |areas: &mut [softpatch_region], corners: &mut [softpatch_point], n: &mut [usize; 2]| {
                    let [count, points] = n;
                    unsafe {
                        softpatch_regions(
                            detector,
                            map.as_ptr(),
                            len,
                            SIZE,
                            SIZE,
                            threshold,
                            if areas.is_empty() { null_mut() } else { areas.as_mut_ptr() },
                            areas.len(),
                            count,
                            if corners.is_empty() { null_mut() } else { corners.as_mut_ptr() },
                            corners.len(),
                            points,
                        )
                    }
                };
            let mut needed = [9; 2];
            ok(find(&mut [], &mut [], &mut needed));
            let [count, points] = needed;
            assert_eq!(count, want.len());
            assert_eq!(points, want.iter().map(|r| r.contour.len()).sum::<usize>());
            let mut areas = vec![softpatch_region::default(); count];
            let mut corners = vec![softpatch_point::default(); points];
            if count > 0 {
                let mut few = vec![softpatch_point { x: 7, y: 7 }; points - 1];
                assert_eq!(find(&mut areas, &mut few, &mut [0; 2]), SOFTPATCH_BUFFER_TOO_SMALL);
                assert!(areas.iter().all(|r| *r == softpatch_region::default()) && few[0].x == 7);
            }
            ok(find(&mut areas, &mut corners, &mut [0; 2]));
            for (c, rust) in areas.iter().zip(&want) {
                assert_eq!([c.x, c.y, c.width, c.height], rust.bbox);
                assert_eq!((c.area, c.peak, [c.peak_x, c.peak_y]), (rust.area, rust.peak, rust.peak_at));
                let own = &corners[c.first_point as usize..][..c.point_count as usize];
                assert!(own.iter().map(|p| [p.x, p.y]).eq(rust.contour.iter().copied()));
            }
        }
    }
    ok(softpatch_detector_free(detector));
    ok(softpatch_context_free(context));
}
