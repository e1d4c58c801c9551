//! A fit in shards through the C interface makes the model that a fit makes.

use super::*;
use softpatch::report::write_png;
use std::ffi::CString;
use std::ptr::null;

/// A text, which is freed, as JSON.
fn said(text: softpatch_text) -> serde_json::Value {
    let mut size = 0;
    ok(unsafe { softpatch_text_copy(text, null_mut(), 0, &mut size) });
    let mut buffer = vec![0_u8; size];
    ok(unsafe { softpatch_text_copy(text, buffer.as_mut_ptr().cast(), size, null_mut()) });
    ok(softpatch_text_free(text));
    serde_json::from_slice(&buffer[..size - 1]).unwrap()
}

fn bytes(detector: softpatch_detector) -> Vec<u8> {
    let mut size = 0;
    ok(unsafe { softpatch_detector_to_bytes(detector, null_mut(), 0, &mut size) });
    let mut bytes = vec![0; size];
    ok(unsafe { softpatch_detector_to_bytes(detector, bytes.as_mut_ptr(), size, null_mut()) });
    bytes
}

#[test]
fn a_fit_in_shards_is_a_fit() {
    let _turn = turn();
    let place = tempfile::tempdir().unwrap();
    for i in 0..6 {
        let image = render(Material::Metal, None, i, SIZE).unwrap().0;
        write_png(&place.path().join(format!("{i}.png")), &image).unwrap();
    }
    let folder = CString::new(place.path().to_str().unwrap()).unwrap();
    let context = context();
    let mut options = unsafe { std::mem::zeroed::<softpatch_fit_options>() };
    ok(unsafe { softpatch_fit_options_init(&mut options, size_of_val(&options)) });
    (options.size.width, options.batch, options.coreset_ratio) = (64, 4, 0.2);
    let mut whole = 0;
    ok(unsafe { softpatch_fit_folder(context, folder.as_ptr(), &options, None, null_mut(), &mut whole) });

    let mut text = 0;
    ok(unsafe { softpatch_shards_plan(context, folder.as_ptr(), &options, None, null_mut(), &mut text) });
    let planned = said(text);
    assert!(planned["notes"].is_array(), "{planned}");
    let number = |name: &str| planned["plan"][name].as_u64().unwrap() as usize;
    let (images, dim, r) = (number("images"), number("dim"), number("projected"));
    let positions =
        (planned["plan"]["grid"].as_array().unwrap().iter()).map(|n| n.as_u64().unwrap() as usize);
    let positions: usize = positions.product();
    let plan = CString::new(planned["plan"].to_string()).unwrap();
    let plan = plan.as_ptr();
    let names: Vec<&str> = planned["paths"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    assert_eq!(names.len(), images);
    let paths: Vec<CString> = names.iter().map(|name| CString::new(*name).unwrap()).collect();
    let paths: Vec<_> = paths.iter().map(|path| path.as_ptr()).collect();

    // Two shards, of two images and of the rest.
    let (mut z, mut e) = (vec![0.0_f32; images * positions * r], vec![0.0_f32; images * positions * dim]);
    for [start, end] in [[0, 2], [2, images]] {
        let z = &mut z[start * positions * r..end * positions * r];
        let e = &mut e[start * positions * dim..end * positions * dim];
        let (zs, es, paths) = (z.len(), e.len(), paths[start..].as_ptr());
        ok(unsafe {
            softpatch_shards_features(
                context,
                plan,
                paths,
                end - start,
                z.as_mut_ptr(),
                zs,
                e.as_mut_ptr(),
                es,
                None,
                null_mut(),
            )
        });
    }
    let (mut scores, mut lof_k) = (vec![0.0_f32; images * positions], 0);
    ok(unsafe {
        let (to, room) = (scores.as_mut_ptr(), scores.len());
        softpatch_shards_outlier_scores(
            context,
            plan,
            z.as_ptr(),
            z.len(),
            to,
            room,
            &mut lof_k,
            None,
            null_mut(),
        )
    });
    // As NumPy's quantile.
    let mut sorted = scores.clone();
    sorted.sort_by(f32::total_cmp);
    let at = (1.0 - options.tau) * (sorted.len() - 1) as f64;
    let (low, t) = (at as usize, at.fract() as f32);
    let threshold = sorted[low] + (sorted[low + 1] - sorted[low]) * t;
    let kept: Vec<usize> = (0..scores.len()).filter(|&patch| scores[patch] <= threshold).collect();
    let vectors: Vec<f32> = kept.iter().flat_map(|&patch| &z[patch * r..][..r]).copied().collect();
    let rows = (0.2 * scores.len() as f64 + 1e-9) as usize;
    let mut chosen = vec![0_u32; rows];
    ok(unsafe {
        let (from, len, to) = (vectors.as_ptr(), vectors.len(), chosen.as_mut_ptr());
        softpatch_shards_choose(context, plan, from, len, null(), rows as u32, to, rows, None, null_mut())
    });
    let bank: Vec<usize> = chosen.iter().map(|&at| kept[at as usize]).collect();
    let centres: Vec<f32> = bank.iter().flat_map(|&patch| &z[patch * r..][..r]).copied().collect();
    let mut distances = vec![-1.0_f32; kept.len()];
    let far = |distances: &mut [f32]| {
        let (of, by, room) = (vectors.as_ptr(), centres.as_ptr(), distances.len());
        let (ofs, bys, to) = (vectors.len(), centres.len(), distances.as_mut_ptr());
        unsafe { softpatch_shards_distances(context, plan, of, ofs, by, bys, to, room, None, null_mut()) }
    };
    ok(far(&mut distances));
    // In plain arithmetic.
    let square =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum() };
    let nearest = |v: &[f32]| centres.chunks(r).map(|c| square(v, c)).fold(f64::INFINITY, f64::min);
    for (distance, vector) in distances.iter().zip(vectors.chunks(r)) {
        let exact = nearest(vector).sqrt();
        assert!((f64::from(*distance) - exact).abs() < 1e-4 * exact.max(1.0), "{distance} and {exact}");
    }

    let embeddings: Vec<f32> = bank.iter().flat_map(|&patch| &e[patch * dim..][..dim]).copied().collect();
    let of_rows: Vec<f32> = bank.iter().map(|&patch| scores[patch]).collect();
    let places: Vec<u32> =
        bank.iter().flat_map(|&patch| [patch / positions, patch % positions]).map(|v| v as u32).collect();
    let about = serde_json::json!({
        "images": names, "threshold": threshold, "kept": kept.len(), "lof_k": lof_k
    });
    let about = CString::new(about.to_string()).unwrap();
    let (mut begun, mut finished) = (0, 0);
    ok(unsafe {
        let (x, s, p) = (embeddings.as_ptr(), of_rows.as_ptr(), places.as_ptr());
        softpatch_shards_model(context, plan, about.as_ptr(), x, s, p, rows, &mut begun)
    });
    let (mut left, mut peaks) = (vec![0.0_f32; images], vec![0.0_f32; images]);
    for [start, end] in [[0, 2], [2, images]] {
        let e = &e[start * positions * dim..end * positions * dim];
        let (to, peaks, len) = (left[start..].as_mut_ptr(), peaks[start..].as_mut_ptr(), end - start);
        ok(unsafe {
            let (x, xs) = (e.as_ptr(), e.len());
            softpatch_shards_leave_one_out(
                context,
                plan,
                begun,
                x,
                xs,
                start as u32,
                to,
                peaks,
                len,
                None,
                null_mut(),
            )
        });
    }
    let (scores, tops) = (left.as_ptr(), peaks.as_ptr());
    ok(unsafe { softpatch_shards_finish(context, plan, begun, scores, tops, images, &mut finished) });
    assert!(bytes(finished) == bytes(whole), "another model");

    let wrong = |status: softpatch_status| assert_eq!(status, SOFTPATCH_INVALID_ARGUMENT);
    let room = left.as_mut_ptr();
    let (z, zs, e, es) = (z.as_mut_ptr(), z.len(), e.as_mut_ptr(), e.len());
    wrong(unsafe {
        softpatch_shards_features(context, plan, paths.as_ptr(), images, z, zs - 1, e, es, None, null_mut())
    });
    wrong(unsafe {
        softpatch_shards_outlier_scores(context, plan, z, zs, room, images, null_mut(), None, null_mut())
    });
    wrong(unsafe {
        softpatch_shards_choose(context, plan, z, zs, null(), 3, chosen.as_mut_ptr(), 4, None, null_mut())
    });
    wrong(far(&mut distances[1..]));
    wrong(unsafe {
        let peaks = peaks.as_mut_ptr();
        softpatch_shards_leave_one_out(context, plan, begun, e, es, 1, room, peaks, images, None, null_mut())
    });
    wrong(unsafe { softpatch_shards_finish(context, plan, begun, scores, tops, images - 1, &mut finished) });
    assert_eq!(finished, 0);
    for detector in [whole, begun] {
        ok(softpatch_detector_free(detector));
    }
    ok(softpatch_context_free(context));
}
