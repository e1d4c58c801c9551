#!/usr/bin/env python3
"""softpatch on a category folder, as the same JSON as published.py and anomalib_patchcore.py. Needs no packages.

    python tools/peers/softpatch_run.py CATEGORY --program target/release/softpatch --scores scores.csv [-- OPTIONS OF FIT]

    fit_s            as `softpatch fit` prints it; calibrate, the threshold's part, is work that the others do not do
    score_s_p50      as `softpatch profile` prints it: decoded images, one at a time
    score_s_batch    the same, --score-batch at a time
    score_s_mean     time of scoring all test images less that of scoring one, per image: decoding included, start-up not
    peak_rss_mb      the larger one of the fit's and of the scoring's process
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(command: list) -> tuple[float, float, str, str]:
    """Seconds, peak memory in MB, standard output and standard error."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        output, errors = out.read(), err.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {process.returncode}\n{errors}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6, output, errors


def auroc(scores: list[float], defect: list[bool]) -> float:
    """Share of pairs of a defective and a good image that are in order; ties count half."""
    bad = [s for s, d in zip(scores, defect) if d]
    good = [s for s, d in zip(scores, defect) if not d]
    return sum((b > g) + (b == g) / 2 for b in bad for g in good) / (len(bad) * len(good))


def find(pattern: str, text: str) -> re.Match:
    match = re.search(pattern, text)
    if not match:
        raise SystemExit(f"softpatch printed nothing like {pattern}:\n{text}")
    return match


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("category", type=Path)
    parser.add_argument("--program", default="softpatch")
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--ratio", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--score-batch", type=int, default=8, help="images that are scored at a time for score_s_batch")
    parser.add_argument("--pixels", action="store_true", help="pixel AUROC too, by `softpatch eval`")
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--time", action="store_true", help="score_s_p50 too, by `softpatch profile`, which fits again")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args = parser.parse_args(sys.argv[1:split])
    # The middle square, which is all that the others look at.
    args.fit = ["--geometry", "paper", *sys.argv[split + 1 :]]
    weights = ["--backbone", args.backbone] if args.backbone else []

    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model.safetensors"
        common = ["--seed", args.seed, "--coreset-ratio", args.ratio, *weights, *args.fit]
        whole, fit_mb, text, errors = run([args.program, "fit", args.category, "-o", model, *common])
        text += errors
        stages = find(r"seconds +(.*); ([\d.]+) in all", text)
        fit = {name: float(s) for name, s in (part.rsplit(" ", 1) for part in stages[1].split(", "))}
        bank = find(r"bank +(\d+) rows of (\d+) values", text)
        count = find(r"images +(\d+)", text)

        score = [args.program, "--quiet", "score", model, *weights, "--csv"]
        all_s, score_mb, table, _ = run([*score, args.category / "test"])
        rows = list(csv.DictReader(table.splitlines()))
        one_s, _, _, _ = run([*score, rows[0]["path"]])
        scores = [float(r["score"]) for r in rows]
        defect = [Path(r["path"]).parent.name != "good" for r in rows]
        if args.scores:
            with args.scores.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["path", "score"])
                writer.writerows((Path("test", *Path(r["path"]).parts[-2:]), s) for r, s in zip(rows, scores))
        pixel = p50 = batch = None
        if args.pixels:
            _, _, text, _ = run([args.program, "--quiet", "eval", model, args.category, *weights, "--metric-size", "frame", "--json"])
            pixel = json.loads(text)["all"]["pixel_auroc"]
        if args.time:
            command = [args.program, "profile", args.category, "--coreset-ratio", args.ratio, *weights, *args.fit]
            command += ["--batch", args.score_batch]
            _, _, text, errors = run(command)
            p50 = float(find(r"p50 ([\d.]+) ms", text + errors)[1]) / 1e3
            batch = float(find(r"images at a time, decoded: ([\d.]+) ms", text + errors)[1]) / 1e3

    version = subprocess.run([args.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    out = {
        "program": " ".join([version, *map(str, args.fit)]),
        "backbone": args.backbone.name if args.backbone else "embedded",
        "seed": args.seed,
        "train_images": int(count[1]),
        "bank_rows": int(bank[1]),
        "dim": int(bank[2]),
        "fit_s": {**fit, "total": float(stages[2]), "process": whole},
        "test_images": len(rows),
        "score_s_p50": p50,
        "score_s_mean": (all_s - one_s) / max(1, len(rows) - 1),
        "score_batch": args.score_batch,
        "score_s_batch": batch,
        "image_auroc": auroc(scores, defect),
        "pixel_auroc": pixel,
        "peak_rss_mb": max(fit_mb, score_mb),
    }
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
