#!/usr/bin/env python3
"""Markdown table of a folder that run.sh filled: every *.json a row, the ops-*.csv side by side. Needs no packages.

    python tools/peers/table.py results > results/table.md
"""

import csv
import json
import sys
from pathlib import Path

MATRIX = ["softpatch", "burn", "torch", "onnxruntime"]


def number(value, form: str) -> str:
    return "" if value is None else format(value, form)


def methods(rows: list[dict]) -> None:
    print("| program | training images | bank | fit s (stages) | score ms: p50, decoded | in batches, decoded | mean, with decoding | peak MB | image AUROC | pixel AUROC |")
    print("|---" * 10 + "|")
    for r in sorted(rows, key=lambda r: (-r["train_images"], r["program"])):
        stages = ", ".join(f"{k} {v:.1f}" for k, v in r["fit_s"].items() if k != "total")
        p50, batch, mean = (None if r[k] is None else r[k] * 1e3 for k in ("score_s_p50", "score_s_batch", "score_s_mean"))
        form = ".0f" if min(filter(None, (p50, batch, mean))) >= 20 else ".2f"
        print(
            f"| {r['program']} | {r['train_images']} | {r['bank_rows']} x {r['dim']} | {r['fit_s']['total']:.1f} ({stages}) "
            f"| {number(p50, form)} | {number(batch, form)} | {number(mean, form)} | {r['peak_rss_mb']:.0f} "
            f"| {r['image_auroc']:.4f} | {number(r['pixel_auroc'], '.4f')} |"
        )


def compare(path: Path, row: dict, other: str) -> None:
    """Samples of a network's answer by two programs are the same but for rounding."""
    got, want = ([float(v) for v in text.split(" ")] for text in (row["answer"], other))
    bound = 1e-3 * max(map(abs, want))
    if len(got) != len(want) or not all(abs(g - w) <= bound for g, w in zip(got, want)):
        raise SystemExit(f"{path}: {row['program']} has another answer for '{row['shape']}' than the program before it")


def operations(files: list[Path]) -> None:
    figures, details, answers = {}, {}, {}
    for path in files:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                shape = figures.setdefault(row["shape"], {})
                # Where a program ran twice, its better figure.
                shape[row["program"]] = max(shape.get(row["program"], 0.0), float(row["gflops"]))
                details.setdefault(row["program"], row["detail"])
                if row.get("answer"):
                    compare(path, row, answers.setdefault(row["shape"], row["answer"]))
    programs = [p for p in MATRIX if p in details]
    ratios = [p for p in programs[1:] if programs[0] == "softpatch"]
    print("\n| shape | " + " | ".join(f"{p} GFLOP/s" for p in programs) + "".join(f" | softpatch / {p}" for p in ratios) + " |")
    print("|---" * (1 + len(programs) + len(ratios)) + "|")
    for shape, row in figures.items():
        cells = [number(row.get(p), ".1f") for p in programs]
        for p in ratios:
            both = row.get("softpatch") and row.get(p)
            cells.append(number(row["softpatch"] / row[p] if both else None, ".2f"))
        print(f"| {shape} | " + " | ".join(cells) + " |")
    print()
    for p in programs:
        print(f"- {p}: {details[p].strip()}")


def main() -> None:
    folder = Path(sys.argv[1])
    rows = [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]
    if rows:
        methods(rows)
    files = sorted(folder.glob("ops-*.csv"))
    if files:
        operations(files)


if __name__ == "__main__":
    main()
