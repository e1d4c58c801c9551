"""Golden values for tests/method/metrics.rs, from scikit-learn, SciPy and NumPy.

    pip install numpy scipy scikit-learn
    python tools/golden_metrics.py > tests/golden/metrics.json

The per-region overlap is computed the slow way: every distinct score is a threshold, every region is compared with
the thresholded map, the curve is built from the points, and its area taken piece by piece.
"""

import json
import sys

import numpy as np
import scipy
import sklearn
from scipy import ndimage
from sklearn import metrics

rng = np.random.default_rng(5)


def ranking_case(name, scores, labels):
    scores = np.asarray(scores, np.float32)
    labels = np.asarray(labels, bool)
    best = (-1.0, None)
    for threshold in np.unique(scores)[::-1]:
        f1 = metrics.f1_score(labels, scores >= threshold)
        if f1 > best[0] + 1e-12:
            best = (f1, float(threshold))
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    return {
        "name": name,
        "scores": [float(s) for s in scores],
        "labels": [bool(l) for l in labels],
        "auroc": float(metrics.roc_auc_score(labels, scores)),
        "average_precision": float(metrics.average_precision_score(labels, scores)),
        "best_f1": float(best[0]),
        "best_f1_threshold": best[1],
        "fpr": [float(v) for v in fpr],
        "tpr": [float(v) for v in tpr],
    }


def pro_points(maps, masks):
    """(false positive rate, mean overlap) at every distinct threshold, from (0, 0)."""
    regions = []
    for i, mask in enumerate(masks):
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(i, labelled == r) for r in range(1, count + 1)]
    normal = ~masks
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        hit = maps >= threshold
        overlap = [hit[i][region].mean() for i, region in regions]
        points.append((hit[normal].mean(), float(np.mean(overlap))))
    return points, len(regions)


def area_to(points, limit):
    area = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if x0 >= limit or x1 == x0:
            continue
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
    return float(area / limit)


def pixel_case(name, maps, masks):
    maps = np.asarray(maps, np.float32)
    masks = np.asarray(masks, bool)
    points, regions = pro_points(maps, masks)
    return {
        "name": name,
        "width": maps.shape[2],
        "maps": [[float(v) for v in m.ravel()] for m in maps],
        "masks": ["".join("1" if v else "0" for v in m.ravel()) for m in masks],
        "regions": regions,
        "aupro_0.3": area_to(points, 0.3),
        "aupro_0.05": area_to(points, 0.05),
        "aupro_1": area_to(points, 1.0),
        "pixel_auroc": float(metrics.roc_auc_score(masks.ravel(), maps.ravel())),
        "pixel_ap": float(metrics.average_precision_score(masks.ravel(), maps.ravel())),
    }


def main():
    labels = rng.random(40) < 0.4
    distinct = rng.permutation(40) / 8 - 2 + labels
    tied = np.round(rng.normal(size=40) + labels, 0)
    rankings = [
        ranking_case("all distinct, both signs", distinct + rng.normal(size=40) * 0.01, labels),
        ranking_case("many ties", tied, labels),
        ranking_case("constant", np.full(40, 0.25), labels),
        ranking_case("perfect", labels + rng.random(40) * 0.5, labels),
        ranking_case("inverted", -(labels + rng.random(40) * 0.5), labels),
        ranking_case("one defect in the middle", [3, 1, 2, 5, 4], [0, 0, 0, 0, 1]),
        ranking_case("signed zeros tie", [-0.0, 0.0, 1.0, -1.0], [1, 0, 1, 0]),
        ranking_case("two samples", [1.0, 0.0], [0, 1]),
    ]

    # 3 maps of 9 x 12: diagonal neighbours (one region, not two), regions of unlike sizes, one normal map.
    masks = np.zeros((3, 9, 12), bool)
    masks[0, 1, 1] = masks[0, 2, 2] = masks[0, 3, 1] = True
    masks[0, 5:8, 6:11] = True
    masks[1, 0, 0] = True
    masks[1, 8, 11] = True
    masks[1, 3:5, 0:12:2] = True
    noise = rng.normal(size=masks.shape)
    pixels = [
        pixel_case("distinct", noise + 1.5 * masks, masks),
        pixel_case("ties", np.round(noise + 1.5 * masks), masks),
        pixel_case("constant", np.zeros(masks.shape), masks),
        pixel_case("perfect", masks + 0.5 * rng.random(masks.shape), masks),
        pixel_case("useless", noise - 0.3 * masks, masks),
    ]
    made_with = {m.__name__: m.__version__ for m in (np, scipy, sklearn)}
    json.dump({"made_with": made_with, "rankings": rankings, "pixels": pixels}, sys.stdout, separators=(",", ":"))
    print()


main()
