#!/usr/bin/env python3
"""Writes tests/golden/timm.safetensors: what timm's EfficientNet-Lites compute with made-up weights and statistics.

    pip install -r tools/requirements.txt
    python tools/golden_timm.py

Weights and images are made as in golden_resnet.py, by timm's names; the input is (value / 255 - mean) / std with the mean and
std of the model's own configuration. All in f32 on the CPU.

    ARCH.tensors          [2] i32: number of floating-point tensors of the convolutional part (without conv_head., bn2.,
                          classifier.), and FNV-1a over the lines `NAME shape,shape\\n` in order of the names
    ARCH.SIZE.PART.shape  [3] i32: h, w, c
    ARCH.SIZE.PART.index  [64] i32: flat indices into [h][w][c], one drawn in each of as many equal stretches
    ARCH.SIZE.PART.value  [64] f32: the values there
    ARCH.SIZE.PART.norm   [1] f32: L2 norm of the whole, summed in f64

ARCH is tf_efficientnet_lite0, 1 or 2, or efficientnet_lite0.ra_in1k; SIZE is 224x224 or 139x122 (h x w, the odd zero of "same" is at
other layers there); PART is blockN, numbered through all stages: the last of every stage. tf_efficientnet_lite1 has
the tensors alone.
"""

import argparse
from pathlib import Path

import numpy as np
import timm
import torch
from golden_resnet import fnv, image, made_up
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parent.parent
ARCHS = [*(f"tf_efficientnet_lite{variant}" for variant in range(3)), "efficientnet_lite0.ra_in1k"]
SIZES = [(224, 224), (139, 122)]
HEAD = ("conv_head.", "bn2.", "classifier.")
SAMPLES = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "golden" / "timm.safetensors")
    args = parser.parse_args()
    torch.set_num_threads(1)
    random = np.random.default_rng(224)
    out = {}
    for arch in ARCHS:
        model = timm.create_model(arch, pretrained=False).eval()
        state = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
        shapes = sorted((k, v.shape) for k, v in state.items() if not k.startswith(HEAD))
        lines = "".join(f"{k} {','.join(map(str, shape))}\n" for k, shape in shapes)
        out[f"{arch}.tensors"] = np.array([len(shapes), fnv(lines)], np.uint32).view(np.int32)
        model.load_state_dict({k: made_up(k, v.shape) for k, v in state.items()}, strict=False)
        mean, std = (torch.tensor(model.default_cfg[key]) for key in ("mean", "std"))
        for h, w in SIZES if "lite1" not in arch else []:
            x = ((torch.from_numpy(image(h, w)).float() / 255 - mean) / std).permute(2, 0, 1)[None]
            block = -1
            with torch.inference_mode():
                x = model.bn1(model.conv_stem(x))
                for stage in model.blocks:
                    x = stage(x)
                    block += len(stage)
                    tensor = x[0].permute(1, 2, 0).contiguous()
                    flat = tensor.numpy().ravel()
                    edges = np.linspace(0, flat.size, SAMPLES + 1).astype(np.int64)
                    index = random.integers(edges[:-1], edges[1:])
                    key = f"{arch}.{h}x{w}.block{block}"
                    out[f"{key}.shape"] = np.array(tensor.shape, np.int32)
                    out[f"{key}.index"] = index.astype(np.int32)
                    out[f"{key}.value"] = flat[index]
                    out[f"{key}.norm"] = np.array([np.linalg.norm(flat.astype(np.float64))], np.float32)
                    print(f"{key:40} {tuple(tensor.shape)!s:16} rms {np.sqrt(np.mean(flat**2)):8.3f}")
    save_file(out, args.out)
    print(f"{args.out.name}: {len(out)} tensors, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
