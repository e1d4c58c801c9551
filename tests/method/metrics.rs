//! Metrics against scikit-learn and a brute-force per-region overlap (tools/golden_metrics.py), and against
//! their definitions.

use proptest::prelude::*;
use serde_json::Value;
use softpatch::Error;
use softpatch::eval::{Item, Map, Seen, aupro, auroc, average_precision, best_f1, evaluate, roc_curve};

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/metrics.json")).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(got: f64, want: &Value, what: &str) {
    let want = want.as_f64().unwrap();
    assert!((got - want).abs() < 1e-12, "{what}: {got} and not {want}");
}

#[test]
fn rankings_equal_scikit_learn() {
    for case in golden()["rankings"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let scores: Vec<f32> = floats(&case["scores"]).iter().map(|&v| v as f32).collect();
        let labels: Vec<bool> =
            case["labels"].as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect();
        close(auroc(&scores, &labels).unwrap(), &case["auroc"], name);
        close(average_precision(&scores, &labels).unwrap(), &case["average_precision"], name);
        let best = best_f1(&scores, &labels).unwrap();
        close(best.f1, &case["best_f1"], name);
        close(f64::from(best.threshold), &case["best_f1_threshold"], name);
        let curve = roc_curve(&scores, &labels).unwrap();
        for (point, (fpr, tpr)) in curve.iter().zip(floats(&case["fpr"]).iter().zip(floats(&case["tpr"]))) {
            // The last digit is lost in reading JSON.
            assert!((point.false_positive_rate - fpr).abs() < 1e-15, "{name}");
            assert!((point.true_positive_rate - tpr).abs() < 1e-15, "{name}");
        }
        assert_eq!(curve.len(), floats(&case["fpr"]).len(), "{name}");
        assert_eq!(curve[0].threshold, f32::INFINITY);
    }
}

#[test]
fn per_region_overlap_equals_brute_force() {
    for case in golden()["pixels"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let scores: Vec<Vec<f32>> = case["maps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| floats(m).iter().map(|&v| v as f32).collect())
            .collect();
        let masks: Vec<Vec<bool>> = case["masks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m.as_str().unwrap().chars().map(|c| c == '1').collect())
            .collect();
        let width = case["width"].as_u64().unwrap() as usize;
        let maps: Vec<Map<'_>> = scores
            .iter()
            .zip(&masks)
            // A mask that is false throughout and no mask are the same.
            .map(|(s, m)| Map {
                width,
                scores: s,
                mask: m.contains(&true).then_some(m.as_slice()),
                counted: None,
            })
            .collect();
        for (key, limit) in [("aupro_0.3", 0.3), ("aupro_0.05", 0.05), ("aupro_1", 1.0)] {
            close(aupro(&maps, limit).unwrap(), &case[key], &format!("{name} {key}"));
        }
        let items: Vec<Item<'_>> = maps
            .iter()
            .enumerate()
            .map(|(i, &m)| Item {
                score: i as f32,
                is_defect: m.mask.is_some(),
                map: Some(m),
                seen: Seen::Wholly,
            })
            .collect();
        let report = evaluate(&items).unwrap();
        close(report.pixel_auroc.unwrap(), &case["pixel_auroc"], name);
        close(report.pixel_ap.unwrap(), &case["pixel_ap"], name);
        close(report.aupro.unwrap(), &case["aupro_0.3"], name);
        assert_eq!((report.images, report.defects, report.image_auroc), (3, 2, Some(0.0)));
        assert!(report.notes.is_empty(), "{:?}", report.notes);
    }
}

proptest! {
    /// AUROC by its definition over pairs, and the best F1 over all thresholds.
    #[test]
    fn definitions_hold(samples in prop::collection::vec((-4i8..4, any::<bool>()), 2..60)) {
        let scores: Vec<f32> = samples.iter().map(|s| f32::from(s.0) / 2.0).collect();
        let labels: Vec<bool> = samples.iter().map(|s| s.1).collect();
        let defects: Vec<f32> = scores.iter().zip(&labels).filter(|s| *s.1).map(|s| *s.0).collect();
        let normals: Vec<f32> = scores.iter().zip(&labels).filter(|s| !*s.1).map(|s| *s.0).collect();
        prop_assume!(!defects.is_empty() && !normals.is_empty());
        let pair = |d: f32, n: f32| if d > n { 1.0 } else if d == n { 0.5 } else { 0.0 };
        let wins: f64 = defects.iter().flat_map(|&d| normals.iter().map(move |&n| pair(d, n))).sum();
        let want = wins / (defects.len() * normals.len()) as f64;
        prop_assert!((auroc(&scores, &labels).unwrap() - want).abs() < 1e-12);

        let f1 = |t: f32| {
            let tp = defects.iter().filter(|&&d| d >= t).count() as f64;
            let fp = normals.iter().filter(|&&n| n >= t).count() as f64;
            2.0 * tp / (tp + fp + defects.len() as f64)
        };
        let best = best_f1(&scores, &labels).unwrap();
        let want = scores.iter().map(|&t| f1(t)).fold(0.0, f64::max);
        prop_assert!((best.f1 - want).abs() < 1e-12 && (f1(best.threshold) - want).abs() < 1e-12);

        // Any increasing map of the scores leaves the figures as they are.
        let moved: Vec<f32> = scores.iter().map(|s| (s * 0.5).exp()).collect();
        prop_assert_eq!(auroc(&moved, &labels).unwrap(), auroc(&scores, &labels).unwrap());
        prop_assert_eq!(average_precision(&moved, &labels).unwrap(), average_precision(&scores, &labels).unwrap());
    }
}

fn refused<T: std::fmt::Debug>(result: softpatch::Result<T>) -> String {
    match result {
        Err(e @ Error::Metric(_)) => e.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn undefined_figures_are_refused() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(refused(auroc(&[0.0, bad], &[true, false])).contains("score 1 is"));
        let map = Map { width: 2, scores: &[0.0, bad], mask: Some(&[true, false]), counted: None };
        assert!(refused(aupro(&[map], 0.3)).contains("finite"));
        assert!(
            refused(evaluate(&[Item { score: bad, is_defect: false, map: None, seen: Seen::Wholly }]))
                .contains("finite")
        );
    }
    assert!(refused(auroc(&[0.0, 1.0], &[true, true])).contains("no normal sample"));
    assert!(refused(best_f1(&[0.0, 1.0], &[false, false])).contains("no defect sample"));
    assert!(refused(average_precision(&[], &[])).contains("no normal sample"));
    assert!(refused(roc_curve(&[0.0], &[])).contains("1 scores for 0 labels"));
    let map = Map { width: 2, scores: &[0.0; 4], mask: None, counted: None };
    assert!(refused(aupro(&[map], 0.3)).contains("no defect pixel"));
    assert!(refused(aupro(&[Map { mask: Some(&[true; 4]), ..map }], 0.3)).contains("no normal pixel"));
    assert!(refused(aupro(&[Map { width: 3, ..map }], 0.3)).contains("width 3"));
    let map = Map { width: 2, scores: &[0.0; 2], mask: Some(&[true, false]), counted: None };
    for limit in [0.0, -1.0, 1.1, f64::NAN] {
        assert!(matches!(aupro(&[map], limit), Err(Error::InvalidOption(_))));
    }
}

#[test]
fn a_report_says_what_it_leaves_out() {
    let scores = [0.0, 0.0, 0.5, 1.0];
    let normal = Map { width: 2, scores: &[0.0, 0.1, 0.0, 0.2], mask: None, counted: None };
    let masked = Map { width: 2, scores: &scores, mask: Some(&[false, false, false, true]), counted: None };
    let unmasked = Map { width: 2, scores: &scores, mask: None, counted: None };
    let item = |score, is_defect, map| Item { score, is_defect, map, seen: Seen::Wholly };

    let report = evaluate(&[
        item(0.0, false, Some(normal)),
        item(1.0, true, Some(masked)),
        item(2.0, true, Some(unmasked)),
    ])
    .unwrap();
    assert_eq!((report.image_auroc, report.pixel_auroc, report.aupro), (Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!(report.notes, ["the pixel figures are of 2 of 3 images: 1 of 2 defect images have no mask"]);

    let report = evaluate(&[item(0.0, false, Some(normal)), item(2.0, true, Some(unmasked))]).unwrap();
    assert_eq!((report.image_f1, report.pixel_f1, report.aupro), (Some(1.0), None, None));
    assert!(report.notes[0].contains("no mask of any defect image"), "{:?}", report.notes);

    let report = evaluate(&[item(0.0, false, None)]).unwrap();
    assert_eq!((report.image_auroc, report.pixel_auroc, report.notes.len()), (None, None, 2));
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["image_auroc"].is_null() && json["images"] == 1);
}

/// 100 maps of 224 x 224, as a test set of MVTec has.
#[test]
fn five_million_pixels() {
    let size = 224;
    let mut state = 1u32;
    let maps: Vec<Vec<f32>> = (0..100)
        .map(|_| {
            (0..size * size)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) as f32
                })
                .collect()
        })
        .collect();
    let mask: Vec<bool> = (0..size * size).map(|i| i % size < 40 && i / size % 60 < 40).collect();
    let items: Vec<Item<'_>> = maps
        .iter()
        .enumerate()
        .map(|(i, scores)| {
            let is_defect = i % 3 > 0;
            let map = Map { width: size, scores, mask: is_defect.then_some(&mask), counted: None };
            Item { score: i as f32, is_defect, map: Some(map), seen: Seen::Wholly }
        })
        .collect();
    let report = evaluate(&items).unwrap();
    assert!((report.pixel_auroc.unwrap() - 0.5).abs() < 0.01);
}
