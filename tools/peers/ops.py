#!/usr/bin/env python3
"""Times the shapes of shapes.txt in PyTorch, on the CPU or with --device cuda. CSV on standard output, the columns of burn/ and softpatch/.

    python tools/peers/ops.py > ops.csv

Convolutions run in both memory formats (NCHW, and channels last); the faster one stands, named in `detail`. Every answer is
checked on samples against a float64 loop before it is timed. f32 is f32 there, too (no TF32), and --half is f16 with sums in f32.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

SHAPES = Path(__file__).resolve().parent / "shapes.txt"
COLUMNS = ["program", "shape", "ms_median", "ms_min", "gflops", "repeats", "detail"]
SAMPLES = 200


def values(count: int, seed: int) -> np.ndarray:
    """[count] f32 in -0.5 .. 0.5, the same in all three programs."""
    return ((np.arange(count) * 7919 + seed * 104_729) % 1009 / 1009 - 0.5).astype(np.float32)


def finish(place: dict) -> None:
    if place["device"].startswith("cuda"):
        torch.cuda.synchronize(place["device"])


def timed(run, least: float, place: dict) -> list[float]:
    """Seconds of each run: 3 to warm up, then 5 or more, until `least` seconds have passed."""
    for _ in range(3):
        run()
    finish(place)
    seconds = []
    while len(seconds) < 5 or sum(seconds) < least:
        start = time.perf_counter()
        run()
        finish(place)
        seconds.append(time.perf_counter() - start)
    return seconds


def check(got: float, want: float, where: str, place: dict) -> None:
    """Operands are rounded to f16 before `want` is computed, results after."""
    absolute, relative = (1e-3, 1e-5) if place["dtype"] == torch.float32 else (1e-2, 2**-9)
    if not abs(got - want) <= absolute + relative * abs(want):
        raise SystemExit(f"{where}: {got}, not {want}")


def gemm(m: int, k: int, n: int, least: float, place: dict) -> tuple[float, list]:
    a, b = torch.from_numpy(values(m * k, 1)).reshape(m, k).to(**place), torch.from_numpy(values(n * k, 2)).reshape(n, k).to(**place)
    c = F.linear(a, b)
    for i in range(SAMPLES):
        row, column = i * 37 % m, i * 101 % n
        check(c[row, column].item(), float(a[row].double() @ b[column].double()), f"gemm {row} {column}", place)
    return 2 * m * k * n, [("", timed(lambda: F.linear(a, b), least, place))]


def conv(h: int, w: int, cin: int, cout: int, kernel: int, stride: int, groups: int, least: float, place: dict) -> tuple[float, list]:
    pad, per = kernel // 2, cin // groups
    x = torch.from_numpy(values(h * w * cin, 1)).reshape(1, h, w, cin).permute(0, 3, 1, 2).to(**place)
    weight = torch.from_numpy(values(cout * kernel * kernel * per, 2)).reshape(cout, kernel, kernel, per).permute(0, 3, 1, 2).to(**place)
    padded, w64 = F.pad(x[0], (pad,) * 4).double(), weight.double()
    results = []
    for name, form in [("nchw", torch.contiguous_format), ("nhwc", torch.channels_last)]:
        xf, wf = x.contiguous(memory_format=form), weight.contiguous(memory_format=form)
        run = lambda: F.conv2d(xf, wf, stride=stride, padding=pad, groups=groups)
        c = run()
        for i in range(SAMPLES):
            o, y, z = i * 101 % cout, i * 37 % c.shape[2], i * 13 % c.shape[3]
            first = o // (cout // groups) * per
            window = padded[first : first + per, y * stride : y * stride + kernel, z * stride : z * stride + kernel]
            check(c[0, o, y, z].item(), float((window * w64[o]).sum()), f"conv {o} {y} {z}", place)
        results.append((name, timed(run, least, place)))
    return 2 * c.numel() * per * kernel * kernel, results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="least time for a shape")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--half", action="store_true", help="operands and results in f16")
    args = parser.parse_args()
    place = {"device": args.device, "dtype": torch.float16 if args.half else torch.float32}
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cudnn.benchmark = True
    where = [f"{args.threads} threads"] if args.device == "cpu" else [torch.cuda.get_device_name(args.device)]
    where += ["f16"] if args.half else []
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in SHAPES.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        kind, *sizes = line.split()
        flops, results = {"gemm": gemm, "conv": conv}[kind](*map(int, sizes), args.seconds, place)
        layout, seconds = min(results, key=lambda r: np.median(r[1]))
        median, least = np.median(seconds), min(seconds)
        detail = " ".join(filter(None, [f"torch {torch.__version__}", *where, layout]))
        writer.writerow(["torch", line, f"{median * 1e3:.3f}", f"{least * 1e3:.3f}", f"{flops / median / 1e9:.2f}", len(seconds), detail])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
