#!/usr/bin/env python3
"""anomalib's PatchCore on the same images, weights and preprocessing as the other programs.

    tools/peers/setup.sh
    python tools/peers/anomalib_patchcore.py CATEGORY --scores scores.csv > anomalib.json

Its model class is driven directly: its trainer downloads weights by name, and has no EfficientNet-Lite0 under this
file's names. Its feature extractor is replaced by common.py's; 3x3 means, concatenation, random projection, greedy
choice, search, reweighting by 9 neighbours and maps are anomalib's own.
"""

import argparse

import anomalib
import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from common import Geometry, Stopwatch, add_options, backbone, images, report, score_all, set_up

LAYERS = ["layer2", "layer3"]


class Stages(torch.nn.Module):
    """A backbone of common.py as anomalib's feature extractors answer."""

    def __init__(self, net: torch.nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(zip(LAYERS, self.net(x), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    args = parser.parse_args()
    set_up(args)
    geometry = Geometry(args.resize, args.crop)
    model = PatchcoreModel(layers=LAYERS, backbone="resnet18", pre_trained=False)
    model.feature_extractor = Stages(backbone(args))
    model.to(args.device)

    watch = Stopwatch(args.device)
    paths = images(args.category / "train")
    model.train()
    model.feature_extractor.eval()
    for start in range(0, len(paths), args.batch):
        model(torch.stack([geometry.load(p) for p in paths[start : start + args.batch]]).to(args.device))
    watch.lap("features")
    model.subsample_embedding(args.ratio)
    model.eval()
    watch.lap("coreset")

    def score(batch: torch.Tensor):
        out = model(batch.to(args.device))
        return out.pred_score.flatten().tolist(), out.anomaly_map[:, 0].cpu().numpy()

    scored = score_all(args, geometry, score)
    rows, dim = model.memory_bank.shape
    report(
        program=f"anomalib {anomalib.__version__} PatchCore",
        backbone=args.backbone.name,
        threads=args.threads,
        seed=args.seed,
        train_images=len(paths),
        bank_rows=rows,
        dim=dim,
        fit_s={**watch.seconds, "total": sum(watch.seconds.values())},
        **scored,
    )


if __name__ == "__main__":
    main()
