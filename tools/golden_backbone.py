"""Writes tests/golden/lite0.safetensors: what PyTorch computes for the stem and blocks 0..=10.

    python tools/golden_backbone.py

f32 activations of one procedural 224x224 image with the f16-rounded weights of
weights/efficientnet_lite0_b10.safetensors. The image, bit-exact in integers (`//` and `>>` on u32, wrapping `*`):

    i = (y * 224 + x) * 3 + c
    s = (x * (c + 1) + 2 * y * (3 - c)) % 512
    t = s if s < 256 else 511 - s
    pixel(y, x, c) = (t * 7 >> 3) + (i * 2654435761 mod 2^32 >> 27)

Preprocessing is (pixel - 127) / 128, no resize. Strided convolutions pad as TensorFlow's SAME does: at 224 the
3x3 ones by (top 0, bottom 1), the 5x5 ones by (1, 2).

For each NAME of stem, block0 .. block10 (outputs, after the residual where there is one):
    NAME.index  [512] i32   flat index into the tensor in NHWC order
    NAME.value  [512] f32   the values there
    NAME.norm   [1]   f32   Euclidean norm of the whole tensor (summed in f64)
    NAME.shape  [3]   i32   height, width, channels
"""

from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from safetensors.numpy import save_file
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent
SIZE = 224
SAMPLES = 512
LAST_BLOCK = 10


def procedural_image() -> np.ndarray:
    """The image of the module's docstring, [224][224][3] u8."""
    y, x, c = np.meshgrid(np.arange(SIZE), np.arange(SIZE), np.arange(3), indexing="ij")
    i = ((y * SIZE + x) * 3 + c).astype(np.uint64)
    s = (x * (c + 1) + 2 * y * (3 - c)) % 512
    t = np.where(s < 256, s, 511 - s)
    noise = ((i * 2654435761) & 0xFFFFFFFF) >> 27
    return ((t * 7 >> 3) + noise.astype(np.int64)).astype(np.uint8)


def main() -> None:
    torch.set_num_threads(1)
    weights = load_file(ROOT / "weights" / "efficientnet_lite0_b10.safetensors")
    model = EfficientNet.from_name("efficientnet-lite0").eval()
    assert model._bn0.eps == 1e-3
    state = model.state_dict()
    state.update({key: value.float() for key, value in weights.items()})
    model.load_state_dict(state)

    pixels = torch.from_numpy(procedural_image().astype(np.float32))
    x = ((pixels - 127) / 128).permute(2, 0, 1)[None]
    outputs = {}
    with torch.no_grad():
        # Static padding of this implementation is laid out for 224, lite0's own size.
        x = model._swish(model._bn0(model._conv_stem(x)))
        outputs["stem"] = x
        for number, block in enumerate(model._blocks[: LAST_BLOCK + 1]):
            x = block(x)
            outputs[f"block{number}"] = x
    assert outputs["block4"].shape == (1, 40, 28, 28)
    assert outputs["block10"].shape == (1, 112, 14, 14)

    rng = np.random.default_rng(20220917)
    golden = {}
    for name, tensor in outputs.items():
        nhwc = tensor[0].permute(1, 2, 0).contiguous().numpy()
        index = np.sort(rng.choice(nhwc.size, SAMPLES, replace=False)).astype(np.int32)
        golden[f"{name}.index"] = index
        golden[f"{name}.value"] = nhwc.reshape(-1)[index]
        golden[f"{name}.norm"] = np.array([np.linalg.norm(nhwc.astype(np.float64))], np.float32)
        golden[f"{name}.shape"] = np.array(nhwc.shape, np.int32)
        print(f"{name:8} {nhwc.shape} norm {golden[f'{name}.norm'][0]:.3f}")
    out = ROOT / "tests" / "golden" / "lite0.safetensors"
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(golden, out, metadata={"torch": torch.__version__})
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
