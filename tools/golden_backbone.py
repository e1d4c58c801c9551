#!/usr/bin/env python3
"""Writes tests/golden/lite0.safetensors: what PyTorch computes with the embedded weights for one made-up image.

    pip install -r tools/requirements.txt
    python tools/golden_backbone.py

The image is 224 x 224 RGB, 8 bit, by an integer formula; x counts columns, y rows, c is 0, 1, 2 for red, green, blue:

    hash  = ((x * 73856093) ^ (y * 19349663) ^ (c * 83492791)) mod 2^32      (unsigned 32-bit products that wrap)
    wave  = ((x * (c + 1) + y * (3 - c)) / 2) mod 256                        (integer division)
    block = 64 if (x / 28 + y / 28) is odd, else 0
    value = min(255, (wave * 5 + (hash / 2^16) mod 256) / 8 + block)         (integer division)

The weights are those of weights/efficientnet_lite0_b10.safetensors (f16, widened to f32); batch norm is not folded
(eps 1e-3), padding is TensorFlow's SAME for 224 x 224, the input is (value - 127) / 128. All in f32 on the CPU.

The file. Stages are stem and block0 to block10; each is the tensor after its last step (activation, or the addition
of the shortcut), read in NHWC order, [1][h][w][c]:

    image.sha256_words  [8] i32: SHA-256 of the image's bytes [224][224][3], big-endian words, to check the formula with
    STAGE.shape         [3] i32: h, w, c
    STAGE.index         [200] i32: flat indices into [h][w][c], ascending: the tensor is cut into 200 stretches of equal
                        length and one index is drawn in each, so that all rows and many channels are met
    STAGE.value         [200] f32: the values there
    STAGE.norm          [1] f32: L2 norm of the whole tensor, summed in f64
    STAGE.noise         [1] f32: L2 norm of (f32 result - f64 result), divided by that norm: what f32 costs in PyTorch's
                        order of summation; a bound for another order should be a small multiple of it
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from safetensors.numpy import save_file
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent
SIDE = 224
LAST_BLOCK = 10
SAMPLES = 200


def image() -> np.ndarray:
    """[224][224][3] u8, as above."""
    y, x, c = np.meshgrid(*(np.arange(n, dtype=np.uint64) for n in (SIDE, SIDE, 3)), indexing="ij")
    wrapped = 0xFFFFFFFF
    hashed = ((x * 73856093) & wrapped) ^ ((y * 19349663) & wrapped) ^ ((c * 83492791) & wrapped)
    wave = ((x * (c + 1) + y * (3 - c)) // 2) % 256
    block = 64 * ((x // 28 + y // 28) % 2)
    return np.minimum(255, (wave * 5 + (hashed >> 16) % 256) // 8 + block).astype(np.uint8)


def stages(model: EfficientNet, x: torch.Tensor) -> dict[str, torch.Tensor]:
    result = {}
    x = model._swish(model._bn0(model._conv_stem(x)))
    result["stem"] = x
    for i, block in enumerate(model._blocks[: LAST_BLOCK + 1]):
        x = block(x)
        result[f"block{i}"] = x
    return {name: value[0].permute(1, 2, 0).contiguous() for name, value in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "golden" / "lite0.safetensors")
    args = parser.parse_args()
    torch.set_num_threads(1)

    model = EfficientNet.from_name("efficientnet-lite0").eval()
    assert model._bn0.eps == 1e-3 and isinstance(model._swish, torch.nn.ReLU6)
    weights = load_file(ROOT / "weights" / "efficientnet_lite0_b10.safetensors")
    missing, unexpected = model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    assert not unexpected
    unused = tuple(f"_blocks.{i}." for i in range(LAST_BLOCK + 1, len(model._blocks))) + ("_conv_head.", "_bn1.", "_fc.")
    assert all(name.startswith(unused) or name.endswith("num_batches_tracked") for name in missing), missing

    pixels = image()
    digest = hashlib.sha256(pixels.tobytes()).digest()
    out = {"image.sha256_words": np.frombuffer(digest, ">u4").astype(np.uint32).view(np.int32)}
    x = ((torch.from_numpy(pixels).float() - 127) / 128).permute(2, 0, 1)[None]
    with torch.inference_mode():
        single = stages(model, x)
        double = stages(model.double(), x.double())

    random = np.random.default_rng(224)
    for name, tensor in single.items():
        flat = tensor.numpy().ravel()
        edges = np.linspace(0, flat.size, SAMPLES + 1).astype(np.int64)
        index = random.integers(edges[:-1], edges[1:])
        norm = np.linalg.norm(flat.astype(np.float64))
        noise = np.linalg.norm(flat - double[name].numpy().ravel()) / norm
        out[f"{name}.shape"] = np.array(tensor.shape, np.int32)
        out[f"{name}.index"] = index.astype(np.int32)
        out[f"{name}.value"] = flat[index]
        out[f"{name}.norm"] = np.array([norm], np.float32)
        out[f"{name}.noise"] = np.array([noise], np.float32)
        print(f"{name:8} {tuple(tensor.shape)!s:16} norm {norm:9.3f} largest {np.abs(flat).max():7.3f} noise {noise:.1e}")
    save_file(out, args.out)
    print(f"{args.out.name}: {len(out)} tensors, {args.out.stat().st_size} bytes, image SHA-256 {digest.hex()}")


if __name__ == "__main__":
    main()
