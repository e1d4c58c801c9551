#!/usr/bin/env python3
"""Writes tests/golden/ops.safetensors: what Pillow, torchvision, PyTorch and SciPy compute for small inputs.

    pip install -r tools/requirements.txt
    python tools/golden_ops.py

Read by tests/kernels/reference_ops.rs. Everything is NHWC, sizes are i32, pixels u8; all else is computed in f64 and rounded
to f32 once. One group of tensors a case:

    resize.N      .x [h][w][c] u8 (c is 3 or 1), .y [oh][ow][c] u8
    geometry      [cases][8]: w, h, resize, crop -> width, height, left, top
    preprocess.N  .x [h][w][3] u8, .size [resize, crop], .mean [3], .std [3] in 8-bit units, .y [crop][crop][3]
    conv.N        .x, .w [out_c][kh][kw][in_c], .bias, .residual (where there is one), .y, .shape: the 12 fields of
                  ConvShape in order, then the activation (0 none, 1 relu, 2 relu6)
    depthwise.N   the same with .w [k][k][c]
    pool.N        .x, .y, .shape (12 fields)
    upsample.N    .x [h][w][c], .y [oh][ow][c]
    embed.N       .stageI [h][w][c], .concat [h][w][sum of c], .pooled [h][w][d]
    map.N         .x [h][w], .y [oh][ow]
"""

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms as T
import torchvision.transforms.functional as TF
from PIL import Image
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter

ROOT = Path(__file__).resolve().parent.parent
STAGE_VALUES = 1024

random = np.random.default_rng(20221)
out: dict[str, np.ndarray] = {}


def put(name: str, value, dtype=np.float32) -> None:
    out[name] = np.ascontiguousarray(np.asarray(value).astype(dtype))


def floats(*shape: int) -> np.ndarray:
    """Normal values that f32 holds exactly."""
    return random.standard_normal(shape).astype(np.float32).astype(np.float64)


def pixels(h: int, w: int, channels: int) -> np.ndarray:
    """Half noise, half hard edges: both rounding and clamping are met."""
    noise = random.integers(0, 256, (h, w, channels))
    edges = 255 * ((np.arange(h)[:, None] // 3 + np.arange(w)[None, :] // 4) % 2)[..., None]
    return np.where(random.random((h, w, 1)) < 0.5, noise, edges).astype(np.uint8)


def nchw(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def nhwc(x: torch.Tensor) -> np.ndarray:
    return np.moveaxis(x.numpy(), 1, -1)


def resize() -> None:
    sizes = [
        (61, 47, 23, 19, 3),  # down
        (9, 7, 31, 26, 3),  # up
        (33, 57, 32, 57, 3),  # odd, one axis alone
        (21, 30, 21, 64, 1),  # the other axis alone
        (200, 3, 16, 12, 3),  # down along one axis, up along the other
        (1, 1, 5, 4, 3),
        (1024, 2, 256, 3, 1),  # the common camera, a whole scale
        (1000, 2, 1, 1, 1),  # everything into one pixel
        (640, 2, 341, 2, 1),
    ]
    for i, (w, h, ow, oh, channels) in enumerate(sizes):
        x = pixels(h, w, channels)
        image = Image.fromarray(x if channels == 3 else x[..., 0])
        y = np.asarray(image.resize((ow, oh), Image.Resampling.BILINEAR)).reshape(oh, ow, channels)
        put(f"resize.{i}.x", x, np.uint8)
        put(f"resize.{i}.y", y, np.uint8)


def geometry() -> None:
    rows = []
    for _ in range(120):
        w, h = (int(v) for v in random.integers(1, 400, 2))
        if max(w, h) > 12 * min(w, h):
            continue
        size = int(random.integers(1, 80))
        crop = int(random.integers(1, size + 1))
        image = T.Resize(size)(Image.new("L", (w, h)))
        with mock.patch.object(TF, "crop") as cropped:
            TF.center_crop(image, [crop, crop])
        _, top, left, ch, cw = cropped.call_args.args
        assert (ch, cw) == (crop, crop)
        rows.append([w, h, size, crop, *image.size, left, top])
    put("geometry", rows, np.int32)


def preprocess() -> None:
    imagenet = ([0.485 * 255, 0.456 * 255, 0.406 * 255], [0.229 * 255, 0.224 * 255, 0.225 * 255])
    lite = ([127.0] * 3, [128.0] * 3)
    cases = [(61, 83, 24, 20, lite), (70, 50, 24, 21, imagenet), (20, 20, 24, 24, lite)]
    for i, (w, h, size, crop, (mean, std)) in enumerate(cases):
        x = pixels(h, w, 3)
        y = np.asarray(T.CenterCrop(crop)(T.Resize(size)(Image.fromarray(x)))).astype(np.float64)
        put(f"preprocess.{i}.x", x, np.uint8)
        put(f"preprocess.{i}.size", [size, crop], np.int32)
        mean, std = np.float32(mean), np.float32(std)
        put(f"preprocess.{i}.mean", mean)
        put(f"preprocess.{i}.std", std)
        put(f"preprocess.{i}.y", (y - mean.astype(np.float64)) / std.astype(np.float64))


def same_padding(n: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """TensorFlow's SAME: output size, zeros before, zeros after."""
    size = -(-n // stride)
    pad = max((size - 1) * stride + kernel - n, 0)
    return size, pad // 2, pad - pad // 2


def activate(y: torch.Tensor, activation: int) -> torch.Tensor:
    return [lambda v: v, F.relu, F.relu6][activation](y)


def conv(kind: str, i: int, batch, h, w, in_c, out_c, kernel, stride, pad, activation, residual=False) -> None:
    """pad: "same" or a number of zeros on each side."""
    kh, kw = kernel
    if pad == "same":
        (oh, top, bottom), (ow, left, right) = same_padding(h, kh, stride), same_padding(w, kw, stride)
    else:
        top = bottom = left = right = pad
        oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    x, bias = floats(batch, h, w, in_c), floats(out_c)
    padded = F.pad(nchw(x), (left, right, top, bottom))
    if kind == "conv":
        weights = floats(out_c, kh, kw, in_c)
        y = F.conv2d(padded, nchw(weights), torch.from_numpy(bias), stride)
    else:
        weights = floats(kh, kw, in_c)
        kernels = torch.from_numpy(np.moveaxis(weights, -1, 0)[:, None].copy())
        y = F.conv2d(padded, kernels, torch.from_numpy(bias), stride, groups=in_c)
    assert y.shape[2:] == (oh, ow)
    name = f"{kind}.{i}"
    if residual:
        r = floats(batch, oh, ow, out_c)
        put(f"{name}.residual", r)
        y = y + nchw(r)
    put(f"{name}.x", x)
    put(f"{name}.w", weights)
    put(f"{name}.bias", bias)
    put(f"{name}.y", nhwc(activate(y, activation)))
    put(f"{name}.shape", [batch, h, w, in_c, out_c, kh, kw, stride, top, left, oh, ow, activation], np.int32)


def convs() -> None:
    conv("conv", 0, 2, 8, 7, 4, 8, (3, 3), 2, "same", 2)
    conv("conv", 1, 1, 9, 11, 4, 4, (7, 7), 2, 3, 1)
    conv("conv", 2, 2, 3, 5, 8, 12, (1, 1), 1, 0, 1, residual=True)
    conv("conv", 3, 1, 6, 6, 4, 4, (1, 3), 1, "same", 0)
    conv("conv", 4, 1, 5, 5, 4, 8, (1, 1), 2, 0, 0)
    conv("depthwise", 0, 2, 8, 7, 8, 8, (3, 3), 2, "same", 2)
    conv("depthwise", 1, 1, 9, 10, 4, 4, (5, 5), 2, "same", 2)
    conv("depthwise", 2, 1, 4, 6, 4, 4, (5, 5), 1, "same", 0)
    conv("depthwise", 3, 1, 6, 5, 4, 4, (3, 3), 1, 1, 1)


def pool() -> None:
    for i, (batch, h, w, c, kernel, stride, pad) in enumerate([(2, 9, 8, 4, 3, 2, 1), (1, 6, 7, 4, 2, 2, 0)]):
        x = floats(batch, h, w, c) - 3.0  # nearly all negative: a padding of 0 would show
        x = x.astype(np.float32).astype(np.float64)
        y = nhwc(F.max_pool2d(nchw(x), kernel, stride, pad))
        put(f"pool.{i}.x", x)
        put(f"pool.{i}.y", y)
        put(f"pool.{i}.shape", [batch, h, w, c, c, kernel, kernel, stride, pad, pad, *y.shape[1:3]], np.int32)


def upsample() -> None:
    for i, (h, w, c, oh, ow) in enumerate([(4, 3, 4, 8, 6), (5, 7, 4, 12, 9), (6, 6, 4, 6, 6), (8, 9, 4, 5, 4)]):
        x = floats(1, h, w, c)
        y = F.interpolate(nchw(x), (oh, ow), mode="bilinear", align_corners=False)
        put(f"upsample.{i}.x", x[0])
        put(f"upsample.{i}.y", nhwc(y)[0])


def embed() -> None:
    """PatchCore's embedding: unfold, upsample each of the C*9 values as a plane, pool adaptively twice."""
    cases = [([(5, 4, 8), (3, 2, 12)], 64), ([(2, 2, 60), (1, 2, 116)], 1024), ([(3, 3, 4)], 30)]
    for i, (shapes, d) in enumerate(cases):
        (gh, gw, _), pooled, concat = shapes[0], [], []
        for s, (h, w, c) in enumerate(shapes):
            x = floats(1, h, w, c)
            put(f"embed.{i}.stage{s}", x[0])
            # [1][C * 9][h * w]: rows are channel-major, then kernel row, then kernel column
            patches = F.unfold(nchw(x), 3, padding=1).reshape(1, c * 9, h, w)
            patches = F.interpolate(patches, (gh, gw), mode="bilinear", align_corners=False)
            vectors = patches.reshape(c * 9, gh * gw).T
            pooled.append(F.adaptive_avg_pool1d(vectors[:, None], STAGE_VALUES)[:, 0])
            mean = F.avg_pool2d(nchw(x), 3, 1, 1)
            concat.append(F.interpolate(mean, (gh, gw), mode="bilinear", align_corners=False))
        stacked = torch.stack(pooled, 1).reshape(gh * gw, 1, -1)
        put(f"embed.{i}.pooled", F.adaptive_avg_pool1d(stacked, d).reshape(gh, gw, d))
        put(f"embed.{i}.concat", nhwc(torch.cat(concat, 1))[0])


def anomaly_map() -> None:
    for i, (h, w, oh, ow) in enumerate([(7, 5, 56, 40), (3, 4, 9, 12), (6, 6, 45, 50)]):
        x = floats(h, w) ** 2
        x = x.astype(np.float32).astype(np.float64)
        y = F.interpolate(torch.from_numpy(x)[None, None], (oh, ow), mode="bilinear", align_corners=False)[0, 0]
        put(f"map.{i}.x", x)
        put(f"map.{i}.y", gaussian_filter(y.numpy(), sigma=4, truncate=4.0, mode="reflect"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "golden" / "ops.safetensors")
    args = parser.parse_args()
    for part in (resize, geometry, preprocess, convs, pool, upsample, embed, anomaly_map):
        part()
    save_file(out, args.out)
    print(f"{args.out.name}: {len(out)} tensors, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
