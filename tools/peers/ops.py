#!/usr/bin/env python3
"""Times the shapes of shapes.txt in PyTorch, on the CPU or with --device cuda. CSV on standard output, the columns of burn/ and softpatch/.

    python tools/peers/ops.py > ops.csv

Convolutions run in both memory formats (NCHW, and channels last); the faster one stands, named in `detail`. Answers of operations are
checked on samples against a float64 loop before they are timed; samples of a network's are printed, and table.py compares those of all
programs. f32 is f32 there, too (no TF32), and --half is f16 with sums in f32.

Networks run in PyTorch as they are, traced and frozen (batch norms folded, oneDNN's layers), and on the CPU in onnxruntime where it is
installed, which is a program of its own in the table.
"""

import argparse
import csv
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import common

SHAPES = Path(__file__).resolve().parent / "shapes.txt"
COLUMNS = ["program", "shape", "ms_median", "ms_min", "gflops", "repeats", "detail", "answer"]
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


def samples(out) -> str:
    """Of [images][14][14][112] values."""
    flat = np.asarray(out, np.float32).ravel()
    return " ".join(f"{flat[i * 9973 % flat.size]:.5f}" for i in range(SAMPLES))


def in_onnxruntime(net: torch.nn.Module, x: torch.Tensor, threads: int):
    """The version and a run of `net` on `x`; None where onnxruntime is not installed."""
    try:
        import onnx  # noqa: F401 (the export needs it)
        import onnxruntime
    except ImportError:
        print("network: onnxruntime is not installed", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.onnx")
        torch.onnx.export(net, (x,), path, dynamo=False, opset_version=17, do_constant_folding=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name, image = session.get_inputs()[0].name, x.numpy()
    return f"onnxruntime {onnxruntime.__version__}", lambda: session.run(None, {name: image})[0]


def network(images: int, least: float, place: dict, threads: int) -> list[tuple]:
    """EfficientNet-Lite0 to block 10: (program, operations, detail, seconds, samples) of every program."""
    net = common.Lite0(load_file(common.LITE0)).eval()

    class Last(torch.nn.Module):
        """Normalised images to the last stage."""

        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net.stages(x)[-1]

    last = Last().eval()
    x = torch.from_numpy(values(images * 224 * 224 * 3, 1)).reshape(images, 224, 224, 3).permute(0, 3, 1, 2).contiguous()
    flops = 0

    def count(module, _, out):
        nonlocal flops
        flops += 2 * out.numel() * module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]

    hooks = [m.register_forward_hook(count) for m in last.modules() if isinstance(m, torch.nn.Conv2d)]
    last(x)
    for hook in hooks:
        hook.remove()
    found = []
    if place["device"] == "cpu":
        if session := in_onnxruntime(last, x, threads):
            version, run = session
            found.append(("onnxruntime", flops, version, timed(run, least, place), samples(run().transpose(0, 2, 3, 1))))
    last, x = last.to(**place), x.to(**place)
    for name, form in [("nchw", torch.contiguous_format), ("nhwc", torch.channels_last)]:
        xf, lf = x.contiguous(memory_format=form), last.to(memory_format=form)
        frozen = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(lf, xf)))
        for how, run in [(name, lambda: lf(xf)), (f"{name} frozen", lambda: frozen(xf))]:
            found.append(("torch", flops, how, timed(run, least, place), samples(run().float().cpu().permute(0, 2, 3, 1))))
    return found


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
        sizes = list(map(int, sizes))
        if kind == "network":
            found = network(*sizes, args.seconds, place, args.threads)
        else:
            flops, results = {"gemm": gemm, "conv": conv}[kind](*sizes, args.seconds, place)
            found = [("torch", flops, layout, seconds, "") for layout, seconds in results]
        for program in dict.fromkeys(f[0] for f in found):
            _, flops, how, seconds, answer = min((f for f in found if f[0] == program), key=lambda f: np.median(f[3]))
            median, least = np.median(seconds), min(seconds)
            versions = [f"torch {torch.__version__}"] if program == "torch" else []
            detail = " ".join(filter(None, [*versions, *where, how]))
            writer.writerow([program, line, f"{median * 1e3:.3f}", f"{least * 1e3:.3f}", f"{flops / median / 1e9:.2f}", len(seconds), detail, answer])
            sys.stdout.flush()


if __name__ == "__main__":
    main()
