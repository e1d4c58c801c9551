#!/usr/bin/env python3
"""SoftPatch (lof) in PyTorch, scikit-learn and faiss, written anew from the description of the method.

    tools/peers/setup.sh
    python tools/peers/published.py CATEGORY --official --scores scores.csv > published.json

With --official it makes the choices of the published program where that and the paper part: 5 neighbours, a new random
projection for the coreset, start distances that stay in the running minimum, a first row out of all patches, distances
sqrt(|(|a|^2 + |b|^2 - 2ab)| + 1e-6) in float32. Without it, those of softpatch by default: 6 neighbours, one
projection, a first row out of the kept patches, distances to the rows chosen alone. Both score with squared distances
from faiss' IndexFlatL2, times the weight of the nearest row, and smooth maps with SciPy's gaussian_filter, sigma 4.

With --device cuda the backbone, the projection and the greedy choice run there, and so does the index, where faiss is a
build for GPUs; else a product of PyTorch takes its place, which the figures are then of. LOF is scikit-learn's on the CPU,
as in the published program.
"""

import argparse

import faiss
import numpy as np
import torch
import torch.nn.functional as F
from common import Geometry, Stopwatch, add_options, backbone, embed, images, report, score_all, set_up
from scipy.ndimage import gaussian_filter
from sklearn.neighbors import LocalOutlierFactor

PROJECTED = 128
STARTS = 10


def project(x: torch.Tensor) -> torch.Tensor:
    """[n][d] to [n][128] by a new random map, uniform in +-1 / sqrt(d); as they are where d is not above 128."""
    return x if x.shape[1] <= PROJECTED else torch.nn.Linear(x.shape[1], PROJECTED, bias=False).to(x.device)(x)


def distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[n][d], [m][d] to [n][m]."""
    squared = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
    return (squared.abs() + 1e-6).sqrt()


def outlier_scores(z: torch.Tensor, positions: int, k: int) -> torch.Tensor:
    """LOF of every patch among those at its place: [n * positions][r] to [n * positions]."""
    groups = z.cpu().reshape(-1, positions, z.shape[1])
    scores = np.empty(groups.shape[:2], np.float32)
    for p in range(positions):
        lof = LocalOutlierFactor(n_neighbors=k, metric="l2").fit(groups[:, p].numpy())
        scores[:, p] = -lof.negative_outlier_factor_
    return torch.from_numpy(scores.ravel()).to(z.device)


def greedy(z: torch.Tensor, kept: torch.Tensor, rows: int, official: bool, random: np.random.Generator) -> list[int]:
    """Patches in the order of choice: [n][r], [n] bool."""
    among = np.arange(len(z)) if official else np.flatnonzero(kept.cpu().numpy())
    starts = random.choice(among, min(STARTS, len(among)), replace=False)
    far = distances(z, z[starts]).mean(1)
    if not official:
        far *= kept
    first, keep = int(far.argmax()), kept.to(z.dtype)
    chosen = [first]
    far = torch.minimum(far, distances(z, z[first : first + 1])[:, 0]) if official else distances(z, z[first : first + 1])[:, 0]
    far *= keep
    norms = z.square().sum(1)
    while len(chosen) < rows:
        row = int(far.argmax())
        chosen.append(row)
        # As `distances`, with the norms at hand.
        new = (norms + norms[row] - 2 * (z @ z[row])).abs().add_(1e-6).sqrt_()
        far = torch.minimum(far, new).mul_(keep)
        if not official:
            far[row] = 0  # never twice, whatever cancels
    return chosen


def index(bank: torch.Tensor):
    """What searches, and its function that gives squared distances [n] and numbers [n] of the rows nearest to patches [n][d]."""
    on_gpu = bank.device.type == "cuda"
    if on_gpu and not hasattr(faiss, "StandardGpuResources"):
        norms = bank.square().sum(1)

        def product(patches: torch.Tensor):
            least, numbers = (norms - 2 * patches @ bank.T).min(1)
            return (least + patches.square().sum(1)).clamp(min=0), numbers

        return "torch", product
    flat = faiss.IndexFlatL2(bank.shape[1])
    if on_gpu:
        flat = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), bank.device.index or 0, flat)
    flat.add(bank.cpu().numpy())

    def search(patches: torch.Tensor):
        squared, numbers = flat.search(patches.cpu().numpy(), 1)
        return torch.from_numpy(squared[:, 0]), torch.from_numpy(numbers[:, 0])

    return "faiss on the GPU" if on_gpu else "faiss", search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--official", action="store_true", help="make the published program's choices")
    parser.add_argument("--lof-k", type=int, help="neighbours [default: 5 with --official, else 6]")
    parser.add_argument("--tau", type=float, default=0.15, help="share of the patches that is dropped")
    args = parser.parse_args()
    set_up(args)
    faiss.omp_set_num_threads(args.threads)
    random = np.random.default_rng(args.seed)
    k = args.lof_k or (5 if args.official else 6)
    geometry, net = Geometry(args.resize, args.crop), backbone(args)

    watch = Stopwatch(args.device)
    paths = images(args.category / "train")
    parts = []
    for start in range(0, len(paths), args.batch):
        batch = torch.stack([geometry.load(p) for p in paths[start : start + args.batch]])
        stages = net(batch)
        parts.append(embed(stages, net.pooled))
    grid = tuple(stages[0].shape[2:])
    features = torch.cat(parts).flatten(0, 1)
    del parts
    watch.lap("features")

    z = project(features)
    if not args.official:
        # Away from the origin the expanded squares cancel.
        z = z - z.mean(0)
    weights = outlier_scores(z, grid[0] * grid[1], k)
    kept = weights <= torch.quantile(weights, 1 - args.tau)
    watch.lap("denoise")

    if args.official:
        z = project(features)
    rows = int(args.ratio * len(features))
    chosen = greedy(z, kept, rows, args.official, random)
    row_weights = weights[chosen].clamp(min=0)
    search_by, search = index(features[chosen].contiguous())
    dim = features.shape[1]
    del features, z
    watch.lap("coreset")

    def score(batch: torch.Tensor) -> tuple[list[float], np.ndarray]:
        squared, nearest = search(embed(net(batch), net.pooled).flatten(0, 1).contiguous())
        s = (squared * row_weights.to(nearest.device)[nearest]).reshape(len(batch), 1, *grid)
        heat = F.interpolate(s, size=(args.crop, args.crop), mode="bilinear", align_corners=False)
        return s.amax((1, 2, 3)).tolist(), gaussian_filter(heat[:, 0].cpu().numpy(), sigma=4, axes=(1, 2))

    scored = score_all(args, geometry, score)
    report(
        program="published" if args.official else "published, our choices",
        backbone=args.backbone.name,
        threads=args.threads,
        seed=args.seed,
        train_images=len(paths),
        bank_rows=rows,
        dim=dim,
        search=search_by,
        first_row_kept=bool(kept[chosen[0]]),
        fit_s={**watch.seconds, "total": sum(watch.seconds.values())},
        **scored,
    )


if __name__ == "__main__":
    main()
