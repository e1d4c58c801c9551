#!/usr/bin/env python3
"""Writes tests/golden/resnet.safetensors: what torchvision's ResNets compute with made-up weights and statistics.

    pip install -r tools/requirements.txt
    python tools/golden_resnet.py

The weights are too large to store, so a formula makes them, here and in tests/method/resnet.rs. All integers are unsigned
32-bit and wrap. For the tensor called NAME and its value at flat index i (PyTorch's order):

    seed = 2166136261; for every byte b of NAME: seed = (seed xor b) * 16777619              (FNV-1a)
    h = seed + i * 2654435769
    h = h xor (h >> 16); h = h * 2246822507; h = h xor (h >> 13); h = h * 3266489909; h = h xor (h >> 16)
    u = (h >> 8) / 2^24                                                                      (0 <= u < 1)

    convolution weight   (2u - 1) * sqrt(6 / (in * k * k))      (variance as He et al. 2015)
    batch norm           weight 0.5 + u / 2, bias and running_mean 0.4 u - 0.2, running_var 0.5 + u

in f64, rounded to f32 once. The image of h rows and w columns is RGB, 8 bit, by the formula of golden_backbone.py (with
h and w instead of 224), the input (value / 255 - mean) / std with ImageNet's mean and std. All in f32 on the CPU.

The embedding `pooled` is made of layer2 and layer3 as PatchCore's published program does: unfold 3x3 (stride 1,
padding 1, zeros), bilinear upsampling of the later stage's unfolded maps, adaptive_avg_pool1d of each stage to 1024,
side by side, adaptive_avg_pool1d to 1024.

And for every architecture that the crate knows, resnet34, resnet101 and EfficientNet-Lite0 to 2 (from
efficientnet_lite_pytorch) included, what its tables must add up to:

    ARCH.tensors          [2] i32: number of floating-point tensors of the convolutional part (without fc., _fc., _conv_head.,
                          _bn1.), and FNV-1a over the lines `NAME shape,shape\\n` in order of the names

The rest of the file, for ARCH of resnet18, resnet50, wide_resnet50_2 and SIZE of 224x224 and 250x198 (h x w); PART is layer1, layer2,
layer3 ([h][w][c]) or pooled ([h][w][1024]):

    ARCH.SIZE.PART.shape  [3] i32
    ARCH.SIZE.PART.index  [64] (pooled: [256]) i32: flat indices, one drawn in each of as many equal stretches
    ARCH.SIZE.PART.value  f32: the values there
    ARCH.SIZE.PART.norm   [1] f32: L2 norm of the whole, summed in f64
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parent.parent
ARCHS = ["resnet18", "resnet50", "wide_resnet50_2"]
SIZES = [(224, 224), (250, 198)]
STAGE_VALUES = 1024
DIM = 1024


def fnv(text: str) -> int:
    seed = 2166136261
    for byte in text.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    return seed


def uniform(name: str, count: int) -> np.ndarray:
    """[count] f64 in 0 .. 1, as above."""
    seed = fnv(name)
    h = np.arange(count, dtype=np.uint32) * np.uint32(2654435769) + np.uint32(seed)
    h ^= h >> np.uint32(16)
    h *= np.uint32(2246822507)
    h ^= h >> np.uint32(13)
    h *= np.uint32(3266489909)
    h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float64) / 2**24


def made_up(name: str, shape: torch.Size) -> torch.Tensor:
    u = uniform(name, shape.numel())
    if len(shape) == 4:
        values = (2 * u - 1) * math.sqrt(6 / shape[1:].numel())
    elif name.endswith("running_var"):
        values = 0.5 + u
    elif name.endswith("weight"):
        values = 0.5 + u / 2
    else:
        values = 0.4 * u - 0.2
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def tables(model: torch.nn.Module) -> np.ndarray:
    """[2] i32 as above."""
    head = ("fc.", "_fc.", "_conv_head.", "_bn1.")
    state = {k: v for k, v in model.state_dict().items() if v.is_floating_point() and not k.startswith(head)}
    lines = "".join(f"{k} {','.join(map(str, v.shape))}\n" for k, v in sorted(state.items()))
    return np.array([len(state), fnv(lines)], np.uint32).view(np.int32)


def image(h: int, w: int) -> np.ndarray:
    """[h][w][3] u8, as above."""
    y, x, c = np.meshgrid(*(np.arange(n, dtype=np.uint64) for n in (h, w, 3)), indexing="ij")
    wrapped = 0xFFFFFFFF
    hashed = ((x * 73856093) & wrapped) ^ ((y * 19349663) & wrapped) ^ ((c * 83492791) & wrapped)
    wave = ((x * (c + 1) + y * (3 - c)) // 2) % 256
    block = 64 * ((x // 28 + y // 28) % 2)
    return np.minimum(255, (wave * 5 + (hashed >> 16) % 256) // 8 + block).astype(np.uint8)


def pooled(stages: list[torch.Tensor]) -> torch.Tensor:
    """Stages [1][c][h][w] to [h0][w0][DIM]."""
    h, w = stages[0].shape[2:]
    vectors = []
    for x in stages:
        sh, sw = x.shape[2:]
        patches = F.unfold(x, 3, padding=1).reshape(1, -1, sh, sw)
        patches = F.interpolate(patches, size=(h, w), mode="bilinear", align_corners=False)
        patches = patches[0].permute(1, 2, 0).reshape(h * w, 1, -1)
        vectors.append(F.adaptive_avg_pool1d(patches, STAGE_VALUES)[:, 0])
    joined = torch.cat(vectors, 1)[:, None]
    return F.adaptive_avg_pool1d(joined, DIM).reshape(h, w, DIM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "golden" / "resnet.safetensors")
    args = parser.parse_args()
    torch.set_num_threads(1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    random = np.random.default_rng(224)
    out = {}
    for arch in [*ARCHS, "resnet34", "resnet101"]:
        out[f"{arch}.tensors"] = tables(getattr(torchvision.models, arch)(weights=None))
    for variant in range(3):
        arch = f"efficientnet-lite{variant}"
        out[f"{arch}.tensors"] = tables(EfficientNet.from_name(arch))
    for arch in ARCHS:
        model = getattr(torchvision.models, arch)(weights=None).eval()
        state = {k: made_up(k, v.shape) for k, v in model.state_dict().items() if v.is_floating_point()}
        model.load_state_dict(state, strict=False)
        for h, w in SIZES:
            x = ((torch.from_numpy(image(h, w)).float() / 255 - mean) / std).permute(2, 0, 1)[None]
            with torch.inference_mode():
                x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
                layer1 = model.layer1(x)
                layer2 = model.layer2(layer1)
                layer3 = model.layer3(layer2)
                parts = {
                    name: value[0].permute(1, 2, 0).contiguous()
                    for name, value in [("layer1", layer1), ("layer2", layer2), ("layer3", layer3)]
                }
                parts["pooled"] = pooled([layer2, layer3])
            for part, tensor in parts.items():
                flat = tensor.numpy().ravel()
                samples = 256 if part == "pooled" else 64
                edges = np.linspace(0, flat.size, samples + 1).astype(np.int64)
                index = random.integers(edges[:-1], edges[1:])
                key = f"{arch}.{h}x{w}.{part}"
                out[f"{key}.shape"] = np.array(tensor.shape, np.int32)
                out[f"{key}.index"] = index.astype(np.int32)
                out[f"{key}.value"] = flat[index]
                out[f"{key}.norm"] = np.array([np.linalg.norm(flat.astype(np.float64))], np.float32)
                print(f"{key:36} {tuple(tensor.shape)!s:16} rms {np.sqrt(np.mean(flat**2)):8.3f} largest {np.abs(flat).max():8.3f}")
    save_file(out, args.out)
    print(f"{args.out.name}: {len(out)} tensors, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
