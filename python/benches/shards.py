"""Fits in shards against those of one machine: covering radius, bytes that move, seconds.

    python shards.py FOLDER... [--shards 1 2 4 8] [--oversample 1 2] [--setting coreset_ratio=0.01 ...]

A line for each folder, number of shards and oversampling: rows, patches that were looked at together, the covering radius as
a ratio of that of one machine, bytes moved, and seconds of the stages. On a cluster that RAY_ADDRESS names, else on one of two
CPUs here.
"""

import argparse
import json
import pathlib

import ray
import softpatch.ray


def value(text):
    name, _, said = text.partition("=")
    try:
        return name, json.loads(said)
    except ValueError:
        return name, said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--shards", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--oversample", nargs="+", type=float, default=[2.0])
    parser.add_argument("--setting", nargs="*", type=value, default=[])
    args = parser.parse_args()
    if not ray.is_initialized():
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=2 << 30)
    print("set images shards oversample rows union ratio MB-moved features denoise coreset calibrate", flush=True)
    for folder in args.folders:
        exact = None
        for shards in args.shards:
            for oversample in args.oversample if shards > 1 else [2.0]:
                made = softpatch.ray.fit(
                    folder,
                    shards=shards,
                    oversample=oversample,
                    num_cpus=2 / shards if shards > 2 else 1,
                    exact_radius=exact is None and shards > 1,
                    **dict(args.setting),
                )
                exact = made.radius if shards == 1 else exact or made.exact_radius
                seconds = " ".join(f"{made.seconds[stage]:.1f}" for stage in ("features", "denoise", "coreset", "calibrate"))
                moved = sum(made.moved.values()) / 1e6
                counts = f"{made.images} {shards} {oversample:g} {made.rows} {made.union}"
                print(f"{pathlib.Path(folder).name} {counts} {made.radius / exact:.4f} {moved:.0f} {seconds}", flush=True)


if __name__ == "__main__":
    main()
