#!/usr/bin/env python3
"""How closely the score files of two programs agree, with the spread over the seeds of each as the yardstick.

    python tools/peers/compare_scores.py --a softpatch-0.csv softpatch-1.csv --b published-0.csv published-1.csv

Files hold path,score; images are matched by their last two path components. For every pair of files it takes Spearman's
rank correlation and the median and 95th percentile of |x - y| / ((x + y) / 2) over the images, and prints the mean over the pairs.
"""

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score


def read(path: Path) -> dict[str, float]:
    with path.open(newline="") as file:
        return {"/".join(Path(row["path"]).parts[-2:]): float(row["score"]) for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--a", type=Path, nargs="+", required=True)
    parser.add_argument("--b", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    files = {"a": [read(p) for p in args.a], "b": [read(p) for p in args.b]}
    names = sorted(files["a"][0])
    if any(sorted(scores) != names for group in files.values() for scores in group):
        raise SystemExit("the files are not of the same images")
    files = {key: [np.array([s[n] for n in names]) for s in group] for key, group in files.items()}
    defect = [not n.startswith("good/") for n in names]
    for key, group in files.items():
        print(f"image AUROC {key}: {' '.join(f'{roc_auc_score(defect, s):.4f}' for s in group)}; mean score {np.mean(group):.1f}")
    pairs = {
        "a with a": list(itertools.combinations(files["a"], 2)),
        "b with b": list(itertools.combinations(files["b"], 2)),
        "a with b": list(itertools.product(files["a"], files["b"])),
    }
    print("pairs     count  rank correlation  difference: median   p95   bias")
    for key, group in pairs.items():
        if not group:
            continue
        rank = np.mean([spearmanr(x, y).statistic for x, y in group])
        relative = [2 * (y - x) / (x + y) for x, y in group]
        middle, high = (np.mean([np.quantile(np.abs(r), q) for r in relative]) for q in (0.5, 0.95))
        print(f"{key}  {len(group):5}  {rank:16.4f}  {middle:18.2%}  {high:.2%}  {np.mean(relative):+.2%}")


if __name__ == "__main__":
    main()
