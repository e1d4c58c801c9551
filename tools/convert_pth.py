#!/usr/bin/env python3
"""Converts PyTorch weights (.pth, .pt, .bin) of a classifier to safetensors, as `--backbone` takes them.

    pip install -r tools/requirements.txt
    python tools/convert_pth.py wide_resnet50_2-95faca4d.pth wide_resnet50_2.safetensors --dtype f16 --last layer3

Names stay as torchvision, timm and efficientnet_lite_pytorch write them; a prefix that all names share (`module.`,
`model.`) and a wrapping `state_dict` are taken off, `num_batches_tracked` and the classifier are left out. With --last
the stages after that one are left out too (layer3: no layer4; block10: no block 11 and later), which saves more
than half of a ResNet. Batch norm stays as it is: softpatch folds it when it loads.

Only tensors are read from the file (weights_only), so a file from elsewhere can run no code.
"""

import argparse
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
HEAD = re.compile(r"(fc|_fc|_?conv_head|_bn1|bn2|classifier|head)\.")
PREFIXES = ("module.", "model.", "backbone.", "encoder.")


def plain(state: dict) -> dict[str, torch.Tensor]:
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state.get(key), dict):
            state = state[key]
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    while prefix := next((p for p in PREFIXES if tensors and all(k.startswith(p) for k in tensors)), None):
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items()}
    return tensors


def stages(names: list[str]) -> dict[str, int]:
    """Number of the stage (ResNet) or block (EfficientNet-Lite) that each tensor belongs to; the stem is -1."""
    # timm counts blocks by stage and repeat: blocks.2.1 is the fifth of Lite0.
    pairs = {n: tuple(map(int, m.groups())) for n in names if (m := re.match(r"blocks\.(\d+)\.(\d+)\.", n))}
    order = sorted(set(pairs.values()))
    numbers = {n: int(m[1]) for n in names if (m := re.match(r"(?:layer|_blocks\.)(\d+)\.", n))}
    return {n: order.index(pairs[n]) if n in pairs else numbers.get(n, -1) for n in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="type of the values in the target")
    parser.add_argument("--last", help="last stage to keep, e.g. layer3 or block10")
    args = parser.parse_args()

    last = None
    if args.last:
        found = re.fullmatch(r"(?:layer|block)(\d+)", args.last)
        if not found:
            raise SystemExit(f"--last {args.last}: expected layerN or blockN")
        last = int(found[1])
    tensors = {}
    source = plain(torch.load(args.source, map_location="cpu", weights_only=True))
    stage = stages(list(source))
    for name, value in source.items():
        if name.endswith("num_batches_tracked") or HEAD.match(name) or (last is not None and stage[name] > last):
            continue
        converted = value.to(DTYPES[args.dtype]).contiguous()
        if not torch.isfinite(converted).all():
            raise SystemExit(f"{name}: a value is not finite in {args.dtype}")
        tensors[name] = converted
    if not tensors:
        raise SystemExit(f"{args.source}: no weights found")
    save_file(tensors, args.target, {"source": args.source.name})
    values = sum(t.numel() for t in tensors.values())
    print(f"{args.target}: {len(tensors)} tensors, {values} values, {args.target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
