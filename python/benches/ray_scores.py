"""Throughput of `softpatch.ray.score` by worker processes on this machine, and what is left after workers were killed.

    SOFTPATCH_LIBRARY=... python python/benches/ray_scores.py [--pictures 2000] [--runs 3] [--workers 1,2,4]

Pictures of 64 x 64 pixels are painted into a temporary folder (PPM, so that decoding costs next to nothing). Each run is a call
of its own: what counts is the second half of its rows, by the caller's clock, so that starting processes and loading the model
do not; the whole call is given beside. A worker gets one thread of a software adapter. The last part kills
workers in the middle, and counts rows.
"""

from __future__ import annotations

import argparse
import collections
import logging
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time
from typing import Any

os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")

import numpy as np
import ray

import softpatch
import softpatch.ray
from softpatch.ray._rows import Rows

SIDE = 64


def painted(seed: int) -> Any:
    """A part with stripes; one in ten has a defect."""
    rng = np.random.default_rng(seed)
    pixels = 120 + 40 * np.sin(np.arange(SIDE) / 3)[:, None, None] + rng.normal(0, 5, (SIDE, SIDE, 3))
    if seed % 10 == 9:
        pixels[20:30, 20:30] = 250
    return pixels.clip(0, 255).astype(np.uint8)


def decode_with_pids(folder: str) -> Any:
    """Decodes PPM files, and leaves the worker's number in a folder."""

    def decode(data: bytes, path: str) -> Any:
        mark = pathlib.Path(folder) / str(os.getpid())
        if not mark.exists():
            mark.touch()
        return np.frombuffer(data.split(b"\n", 3)[3], np.uint8).reshape(SIDE, SIDE, 3)

    return decode


def timed(folder: pathlib.Path, detector: Any, out: pathlib.Path, marks: pathlib.Path, workers: int) -> tuple[float, float]:
    """Pictures a second in the second half of the rows, and seconds of the call."""
    came: list[tuple[float, int]] = []
    take = Rows.take

    def watched(self: Rows, table: Any) -> None:
        came.append((time.monotonic(), table.num_rows))
        take(self, table)

    Rows.take = watched  # type: ignore[method-assign]
    try:
        began = time.monotonic()
        softpatch.ray.score(
            folder, detector, out, concurrency=workers, num_cpus=1, batch=16, decode=decode_with_pids(str(marks))
        )
        late = came[len(came) // 2 :]
        return sum(n for _, n in late[1:]) / (late[-1][0] - late[0][0]), time.monotonic() - began
    finally:
        Rows.take = take  # type: ignore[method-assign]


def killed(folder: pathlib.Path, detector: Any, out: pathlib.Path, marks: pathlib.Path, kills: int) -> tuple[int, Any]:
    """Kills workers while they score, each as soon as it has begun; how many, and what came out."""
    done, count = threading.Event(), 0

    def kill() -> None:
        nonlocal count
        while count < kills and not done.wait(0.2):
            for mark in list(marks.iterdir()):
                done.wait(0.3)
                try:
                    os.kill(int(mark.name), signal.SIGKILL)
                    count += 1
                except ProcessLookupError:
                    pass
                mark.unlink()
                if count == kills:
                    break

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        result = softpatch.ray.score(
            folder, detector, out, concurrency=2, num_cpus=1, batch=8, decode=decode_with_pids(str(marks))
        )
    finally:
        done.set()
        thread.join()
    return count, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--kills", type=int, default=5)
    given = parser.parse_args()
    workers = [int(n) for n in given.workers.split(",")]
    ray.init("local", num_cpus=max(*workers, 2), object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(temporary)
        folder = place / "pictures"
        folder.mkdir()
        for i in range(given.pictures):
            (folder / f"{i:06}.ppm").write_bytes(b"P6\n%d %d\n255\n" % (SIDE, SIDE) + painted(i).tobytes())
        detector = softpatch.Detector.fit([painted(10_000_000 + 10 * i) for i in range(40)], size=SIDE)
        name = softpatch.adapters()[0]["name"]
        print(f"{given.pictures} pictures of {SIDE} x {SIDE}, {os.cpu_count()} cores, {name}, Ray {ray.__version__}")
        rates: dict[int, list[float]] = collections.defaultdict(list)
        for run in range(given.runs):
            for n in workers:
                (marks := place / f"marks-{run}-{n}").mkdir()
                rate, seconds = timed(folder, detector, place / f"out-{run}-{n}", marks, n)
                rates[n].append(rate)
                print(f"run {run + 1}, {n} workers: {rate:.0f} pictures/s, {seconds:.1f} s in all", flush=True)
        best = {n: max(of) for n, of in rates.items()}
        for n in best:
            print(f"| {n} | {best[n]:.0f} | {best[n] / best[workers[0]]:.2f} |")
        (marks := place / "marks").mkdir()
        count, result = killed(folder, detector, place / "out-killed", marks, given.kills)
        rows = collections.Counter(row for row in result.table.column("path").to_pylist())
        lost = given.pictures - len(rows)
        print(
            f"{count} workers killed: {lost} pictures lost, {sum(n > 1 for n in rows.values())} scored twice, {result.errors} errors"
        )
        if lost or len(rows) != result.pictures:
            sys.exit(1)


if __name__ == "__main__":
    main()
