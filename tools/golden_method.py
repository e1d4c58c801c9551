#!/usr/bin/env python3
"""Writes tests/golden/method.safetensors: the whole method, from patch features to anomaly maps, computed with
scikit-learn, SciPy and NumPy in float64. tests/method/golden_method.rs holds the plain-Rust reference and the detector against it.

    pip install -r tools/requirements.txt
    cargo build
    python tools/golden_method.py target/debug/softpatch

The features are those of 20 training images, 2 of them defective, and 3 test images of 64 x 64 pixels, painted by `softpatch
synth`; PyTorch's EfficientNet-Lite0 with the embedded weights makes them (3x3 means of blocks 4 and 10, 8 x 8 patches of 152
values). They are stored in f16, and everything is computed from the stored values. Nothing of the method comes from the
program under test: random numbers too are made here, by golden_denoise.py's ChaCha8.

Picks and neighbours are compared index by index with a program that computes in f32, so no choice may hang on a
rounding. `Projected` models the rounding of a projection and of a distance as Higham and Mary do (2019): every product and every
partial sum errs independently by u = 2^-24 of itself at most. The seed stored is the first for which every comparison that decides something (neighbours of LOF, the
quantile, every pick, every nearest bank row) is won by more than SIGMAS deviations of its two sides.

The file; CASE is lof, nearest, gaussian or official:

    train.features   [20][64][152] f16      test.features  [3][64][152] f16      seed  [1] u32
    train.projected  [64][128] f32          the first image's patches, projected by the map of `seed`
    error            [1] f32                relative error of a projected distance that SIGMAS deviations allow
    CASE.outlier     [20 * 64] f32          outlier scores; official: LOF with k = 5
    CASE.threshold   [1] f32                their 0.85 quantile
    CASE.kept        u32                    patches that are not above it
    gaussian.condition  [1] f32             largest condition number of a group's covariance

and but for gaussian, whose scores lie closer together than the f32 inverse of a covariance of 20 rows in 128 dimensions
tells apart:

    CASE.samples     [10] u32               start samples: positions in the kept list; official: patches
    CASE.picks       [128] u32              patches in the order of choice; official: by the map of `seed + 1`
    CASE.weights     [128] f32
    CASE.patches     [3][64] f32            scores of the test images' patches
    CASE.image       [3] f32                their largest
    CASE.map         [3][64][64] f32        official and lof only
    CASE.own         [20] f32               image scores of the training images against the bank without their own rows
    CASE.decision    [1] f32                median + 3 scaled median absolute deviations of them
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet
from golden_denoise import chacha8_words, start_samples
from PIL import Image
from safetensors.numpy import save_file
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from scipy.stats import median_abs_deviation
from sklearn.neighbors import LocalOutlierFactor

ROOT = Path(__file__).resolve().parent.parent
SIDE, GRID, R = 64, 8, 128
TAPS = (4, 10)
TAU, RATIO, RIDGE = 0.15, 0.1, 0.01
U = 2.0**-24
SIGMAS = 6


class Close(Exception):
    """A comparison that rounding could turn."""


def paint(program: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images [n][64][64][3] u8."""
    with tempfile.TemporaryDirectory() as folder:
        options = "--materials fabric --train 18 --test-good 1 --test-per-defect 1 --size 64 --seed 3 --contamination 0.12"
        subprocess.run([program, "--quiet", "synth", folder, *options.split()], check=True)
        load = lambda path: np.asarray(Image.open(path).convert("RGB"))
        root = Path(folder) / "fabric"
        train = [load(p) for p in sorted((root / "train").rglob("*.png"))]
        test = [load(root / "test" / name / "000.png") for name in ("good", "hole", "stain")]
    assert len(train) == 20
    return np.stack(train), np.stack(test)


def features(images: np.ndarray) -> np.ndarray:
    """[n][64][152] f16."""
    model = EfficientNet.from_name("efficientnet-lite0").eval()
    weights = load_file(ROOT / "weights" / "efficientnet_lite0_b10.safetensors")
    model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    x = ((torch.from_numpy(images).float() - 127) / 128).permute(0, 3, 1, 2)
    taps = []
    with torch.inference_mode():
        x = model._swish(model._bn0(model._conv_stem(x)))
        for i, block in enumerate(model._blocks[: TAPS[-1] + 1]):
            x = block(x)
            if i in TAPS:
                taps.append(F.avg_pool2d(x, 3, 1, 1))
        taps[1] = F.interpolate(taps[1], size=(GRID, GRID), mode="bilinear", align_corners=False)
        joined = torch.cat(taps, 1).permute(0, 2, 3, 1).reshape(len(images), GRID * GRID, -1)
    return joined.numpy().astype(np.float16)


def projection(dim: int, seed: int) -> np.ndarray:
    """[R][dim]: uniform in +-1 / sqrt(dim), of the upper 24 bits of ChaCha8's 32-bit words, rounded to f32."""
    words = chacha8_words(seed)
    halves = [half for _ in range(R * dim // 2) for word in [next(words)] for half in (word & 0xFFFFFFFF, word >> 32)]
    u = np.array(halves, np.uint64) >> np.uint64(8)
    return ((u / 2**23 - 1) / np.sqrt(dim)).astype(np.float32).astype(np.float64).reshape(R, dim)


class Projected:
    """Rows and the deviation of each value, as above."""

    def __init__(self, x: np.ndarray, matrix: np.ndarray):
        self.z = x @ matrix.T
        self.s = np.empty_like(self.z)
        for i, row in enumerate(x):
            products = matrix * row
            self.s[i] = U * np.sqrt((np.square(products) + np.square(products.cumsum(1))).sum(1))

    def squared(self, rows, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances of `rows` to a row, and SIGMAS deviations of each."""
        d = self.z[rows] - self.z[row]
        squared = np.square(d).sum(1)
        inherited = 4 * (np.square(d) * (np.square(self.s[rows]) + np.square(self.s[row]))).sum(1)
        return squared, SIGMAS * np.sqrt(inherited + (R + 2) * np.square(U * squared))


def certain(best: float, room: float, others: np.ndarray, rooms: np.ndarray, what: str) -> None:
    """`best` is above all `others` whatever rounding does."""
    if len(others) and best - room <= (others + rooms).max():
        raise Close(what)


def lof(p: Projected, n: int, k: int) -> tuple[np.ndarray, float]:
    """Scores [n * positions], image by image, and the largest relative error of a distance that enters them."""
    positions = len(p.z) // n
    scores, error = np.empty((n, positions)), 0.0
    for position in range(positions):
        rows = np.arange(n) * positions + position
        for row in rows:
            others = rows[rows != row]
            squared, room = p.squared(others, row)
            order = np.argsort(squared)
            near, far = order[:k], order[k:]
            for o in near:
                certain(-squared[o], room[o], -squared[far], room[far], "a neighbour")
            error = max(error, (room[near] / squared[near]).max() / 2)
        # The tree computes distances by difference; the brute search expands squares.
        model = LocalOutlierFactor(n_neighbors=k, algorithm="kd_tree").fit(p.z[rows])
        scores[:, position] = -model.negative_outlier_factor_
        assert np.allclose(scores[:, position], published_lof(p.z[rows], k), rtol=1e-9)
    return scores.ravel(), error


def published_lof(x: np.ndarray, k: int) -> np.ndarray:
    """LOF with the density `k / sum` of the published program's GPU form: away from duplicates the same."""
    distance = cdist(x, x)
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1)[:, :k]
    farthest = np.sort(distance, axis=1)[:, k - 1]
    density = k / np.maximum(np.take_along_axis(distance, near, 1), farthest[near]).sum(1)
    return density[near].mean(1) / density


def nearest(p: Projected, n: int) -> np.ndarray:
    positions = len(p.z) // n
    groups = p.z.reshape(n, positions, R).transpose(1, 0, 2)
    distances = np.stack([cdist(g, g) + np.diag(np.full(n, np.inf)) for g in groups])
    return (distances.min(2) + 1).T.ravel()


def gaussian(p: Projected, n: int) -> tuple[np.ndarray, float]:
    """Scores and the largest condition number."""
    positions = len(p.z) // n
    scores, condition = [], 0.0
    for g in p.z.reshape(n, positions, R).transpose(1, 0, 2):
        covariance = np.cov(g, rowvar=False, ddof=1) + RIDGE * np.eye(R)
        condition = max(condition, np.linalg.cond(covariance))
        scores.append(cdist(g, g.mean(0, keepdims=True), "mahalanobis", VI=np.linalg.inv(covariance))[:, 0] + 1)
    return np.stack(scores, 1).ravel(), condition


def denoise(scores: np.ndarray, error: float) -> tuple[float, np.ndarray]:
    """Threshold and kept patches; `error` is the relative error of a score."""
    threshold = np.quantile(scores, 1 - TAU)
    kept = scores <= threshold
    certain(scores[~kept].min(), error * threshold, scores[kept], error * scores[kept], "the quantile")
    return threshold, np.flatnonzero(kept)


def greedy(p: Projected, kept: np.ndarray, picks: int, seed: int, official: bool) -> tuple[list[int], list[int]]:
    """Start samples and patches in greedy order."""
    open_rows = np.arange(len(p.z)) if official else kept
    samples = start_samples(len(open_rows), seed)
    measured = [p.squared(open_rows, open_rows[s]) for s in samples]
    mean = np.mean([np.sqrt(d) for d, _ in measured], axis=0)
    # A sample is at 0 from itself, in every arithmetic.
    rooms = [np.divide(r, 2 * np.sqrt(d), out=np.zeros_like(d), where=d > 0) for d, r in measured]
    room = np.mean(rooms, axis=0) + 20 * U * mean
    first = mean.argmax()
    others = np.arange(len(mean)) != first
    certain(mean[first], room[first], mean[others], room[others], "the first pick")
    order = [int(open_rows[first])]
    if official:
        # The mean distances to the samples stay in the running minimum.
        far, room = np.square(mean[kept]), 2 * mean[kept] * room[kept]
    else:
        far, room = np.full(len(kept), np.inf), np.zeros(len(kept))
    low, high = far - room, far + room
    while len(order) < picks:
        squared, room = p.squared(kept, order[-1])
        far, low, high = np.minimum(far, squared), np.minimum(low, squared - room), np.minimum(high, squared + room)
        left = ~np.isin(kept, order)
        best = np.flatnonzero(left)[far[left].argmax()]
        left[best] = False
        certain(low[best], 0.0, high[left], np.zeros(left.sum()), "a pick")
        order.append(int(kept[best]))
    return samples, order


def score(x: np.ndarray, bank: np.ndarray, weights: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Scores of patches `x`; rows of the bank where `own` holds are left out."""
    squared = cdist(x, bank, "sqeuclidean")
    if own is not None:
        squared[:, own] = np.inf
    order = np.sort(squared, axis=1)
    room = SIGMAS * np.sqrt(x.shape[1] + 2) * U
    if (order[:, 0] * (1 + room) >= order[:, 1] * (1 - room)).any():
        raise Close("a nearest bank row")
    return weights[squared.argmin(1)] * squared.min(1)


def anomaly_map(scores: np.ndarray) -> np.ndarray:
    grid = torch.from_numpy(scores.reshape(1, 1, GRID, GRID))
    upsampled = F.interpolate(grid, size=(SIDE, SIDE), mode="bilinear", align_corners=False)[0, 0].numpy()
    return gaussian_filter(upsampled, sigma=4, truncate=4, mode="reflect")


def compute(train: np.ndarray, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    n, positions, dim = train.shape
    rows = train.reshape(-1, dim).astype(np.float64)
    held_out = test.astype(np.float64)
    ours, redrawn = (Projected(rows, projection(dim, s)) for s in (seed, seed + 1))
    picks = int(RATIO * len(rows))
    out = {"train.projected": ours.z[:positions]}
    worst = 0.0

    def finish(case: str, scores: np.ndarray, relative: float, p: Projected, official: bool = False) -> None:
        threshold, kept = denoise(scores, relative)
        samples, order = greedy(p, kept, picks, seed, official)
        weights, bank = np.maximum(scores[order], 0), rows[order]
        patches = np.stack([score(x, bank, weights) for x in held_out])
        of_image = np.array(order) // positions
        own = np.array([score(rows[i * positions : (i + 1) * positions], bank, weights, of_image == i).max() for i in range(n)])
        out.update({f"{case}.outlier": scores, f"{case}.threshold": [threshold], f"{case}.kept": kept})
        out.update({f"{case}.samples": samples, f"{case}.picks": order, f"{case}.weights": weights})
        out.update({f"{case}.patches": patches, f"{case}.image": patches.max(1), f"{case}.own": own})
        out[f"{case}.decision"] = [np.median(own) + 3 * 1.4826 * median_abs_deviation(own)]
        if case != "nearest":
            out[f"{case}.map"] = np.stack([anomaly_map(s) for s in patches])
        assert len(set(order)) == picks

    for case, k, p in (("lof", 6, ours), ("official", 5, redrawn)):
        scores, error = lof(ours, n, k)
        worst = max(worst, error)
        # A quotient of two densities, each with the error of a distance, and about 4 k roundings.
        finish(case, scores, 2 * error + 4 * k * U, p, case == "official")
    finish("nearest", nearest(ours, n), worst, ours)
    scores, condition = gaussian(ours, n)
    threshold, kept = denoise(scores, 0.0)
    out.update({"gaussian.outlier": scores, "gaussian.threshold": [threshold], "gaussian.kept": kept})
    out["gaussian.condition"] = [condition]
    out["error"] = [worst]
    out["seed"] = np.array([seed], np.uint32)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the built softpatch, to paint the images with")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "golden" / "method.safetensors")
    args = parser.parse_args()
    torch.set_num_threads(1)
    train, test = (features(images) for images in paint(args.program.resolve()))
    seed = 0
    while True:
        try:
            out = compute(train, test, seed)
            break
        except Close as close:
            print(f"seed {seed}: {close} is too close", flush=True)
            seed += 1
    stored = {"train.features": train, "test.features": test}
    for name, value in out.items():
        value = np.asarray(value)
        stored[name] = np.ascontiguousarray(value.astype(np.float32 if value.dtype.kind == "f" else np.uint32))
    save_file(stored, args.out)
    print(f"{args.out.name}: seed {seed}, {len(stored)} tensors, {args.out.stat().st_size} bytes, error {out['error'][0]:.2g}")


if __name__ == "__main__":
    main()
