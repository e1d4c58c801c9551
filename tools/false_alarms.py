#!/usr/bin/env python3
"""Wanted against measured false-alarm rates: fits each category with a rate, scores its test images, and prints a table.

    tools/false_alarms.py [--program target/release/softpatch] [--rates 0.01,0.05,0.1] CATEGORY...

A CATEGORY is a folder of train/good, test/good and test/<defect>. One fit serves all rates: a score passes the threshold of
a rate where its `calibrated` value (the share of good parts that score lower) passes that of the threshold, which is
1 - k / (n + 1), k = floor(rate (n + 1)), or 1 - rate where k is 0 (docs/method.md, section 6). Standard library alone.
"""

import argparse
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def info(model):
    with open(model, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(json.loads(file.read(length))["__metadata__"]["info"])


def measure(program, category, rates, model):
    if not model.exists():
        run(program, "-q", "fit", category, "-o", model, "--target-fpr", rates[0])
    calibration = info(model)["calibration"]
    images = json.loads(run(program, "-q", "score", model, category / "test", "--json"))["images"]
    good = [i["calibrated"] for i in images if pathlib.Path(i["path"]).parent.name == "good"]
    bad = [i["calibrated"] for i in images if pathlib.Path(i["path"]).parent.name != "good"]
    n = calibration["good"]
    for rate in rates:
        k = math.floor(rate * (n + 1) + 1e-9)
        limit = 1 - (k / (n + 1) if k else rate) + 1e-6
        alarms, found = (sum(v > limit for v in values) for values in (good, bad))
        yield (
            f"| {category.name} | {n} | {calibration['left_out']} | {100 * rate:g} % | "
            f"{'order statistic' if k else 'extrapolated'} | {alarms} of {len(good)} ({100 * alarms / len(good):.1f} %) | "
            f"{found} of {len(bad)} ({100 * found / len(bad):.1f} %) |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/softpatch")
    parser.add_argument("--rates", default="0.01,0.05,0.1")
    parser.add_argument("--models", help="folder of models, which are used where they are there, and kept")
    parser.add_argument("category", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    rates = [float(rate) for rate in args.rates.split(",")]
    print("| category | good | left out | wanted | rule | false alarms | defects found |")
    print("|---|---:|---:|---:|---|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        models = pathlib.Path(args.models or scratch)
        for category in args.category:
            for line in measure(args.program, category, rates, models / f"{category.name}.safetensors"):
                print(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
