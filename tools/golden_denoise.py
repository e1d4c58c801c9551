"""Golden values for noise discriminators, quantile, nearest neighbour and coreset selection.

Writes tests/golden/denoise.safetensors from scikit-learn, SciPy and NumPy in float64; tests/kernels/reference_denoise.rs
compares the plain-Rust reference with it. Tensors are named `step.case.tensor`.

    python tools/golden_denoise.py
"""

import json
import math
import pathlib

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

OUT = pathlib.Path(__file__).parent.parent / "tests" / "golden" / "denoise.safetensors"
RIDGE = 0.01
tensors = {}


def put(step, case, **values):
    for name, value in values.items():
        value = np.asarray(value)
        kind = np.float32 if value.dtype.kind == "f" else np.uint32
        tensors[f"{step}.{case}.{name}"] = np.ascontiguousarray(value.astype(kind))


def save(path):
    """Safetensors by hand: header length, JSON header, bytes. Sorted, so that a rerun gives the same file."""
    header, blobs, at = {}, [], 0
    for name in sorted(tensors):
        value = tensors[name]
        blob = value.tobytes()
        dtype = "F32" if value.dtype == np.float32 else "U32"
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def cloud(seed, n, r, offset=0.0):
    """Rows as the program sees them: rounded to float32, held in float64."""
    rows = np.random.default_rng(seed).normal(size=(n, r)) + offset
    return rows.astype(np.float32).astype(np.float64)


def planted(seed, n, r):
    rows = cloud(seed, n, r)
    rows[n // 2] += 8.0
    return rows


def copies(seed, distinct, r, counts):
    """`distinct` rows, row i of them counts[i] times, shuffled."""
    rows = np.repeat(cloud(seed, distinct, r), counts, axis=0)
    return rows[np.random.default_rng(seed + 1).permutation(len(rows))]


GROUPS = {
    "cloud": cloud(1, 40, 8),
    "planted": planted(2, 30, 8),
    "offset": cloud(3, 24, 8, offset=1000.0),
    "wide": cloud(4, 24, 128),
    "copies": copies(5, 8, 4, [4, 3, 1, 1, 5, 2, 6, 1]),
    "many_copies": copies(6, 6, 4, [10, 1, 1, 8, 1, 3]),
    "identical": np.repeat(cloud(7, 1, 4), 9, axis=0),
    "k_is_others": cloud(8, 7, 4),
    "few": cloud(9, 5, 4),
    "two": cloud(10, 2, 4),
}


def lof():
    for name, x in GROUPS.items():
        put("group", name, x=x)
        for k in (5, 6):
            # A tree computes distances by difference; the brute search expands squares, and duplicates come
            # out apart.
            model = LocalOutlierFactor(n_neighbors=min(k, len(x) - 1), algorithm="kd_tree").fit(x)
            put("lof", f"{name}.{k}", score=-model.negative_outlier_factor_)


def others():
    """Patches of other images, in windows or anywhere: what is not compared is put far away."""
    for name, (images, h, w), reach, k in (
        ("window", (6, 4, 5), 1, 6),
        ("wide_window", (4, 5, 4), 2, 5),
        ("global", (6, 3, 4), 9, 6),
        ("one_position", (24, 1, 1), 9, 6),
    ):
        x = cloud(11, images * h * w, 8)
        x[7] = x[7 + h * w]
        image, y, column = np.unravel_index(np.arange(len(x)), (images, h, w))
        apart = lambda v: np.abs(v[:, None] - v[None])
        compared = (apart(image) > 0) & (apart(y) <= reach) & (apart(column) <= reach)
        distance = np.where(compared, cdist(x, x), 1e30)
        np.fill_diagonal(distance, 0)
        model = LocalOutlierFactor(n_neighbors=k, metric="precomputed").fit(distance)
        put("others", name, x=x, sizes=np.array([images, h, w, reach, k]), score=-model.negative_outlier_factor_)


def knn():
    for name in ("cloud", "offset", "wide", "few"):
        x = GROUPS[name]
        search = NearestNeighbors(n_neighbors=min(6, len(x) - 1), algorithm="kd_tree").fit(x)
        distance, index = search.kneighbors()
        put("knn", name, distance=distance, index=index)
    for name in ("copies", "many_copies", "identical"):
        x = GROUPS[name]
        distance = cdist(x, x)
        np.fill_diagonal(distance, np.inf)
        index = np.argsort(distance, axis=1, kind="stable")[:, :6]
        put("knn", name, distance=np.take_along_axis(distance, index, 1), index=index)


def nearest():
    for name, x in GROUPS.items():
        distance = cdist(x, x)
        np.fill_diagonal(distance, np.inf)
        put("nearest", name, score=distance.min(axis=1) + 1)


def mahalanobis():
    for name, x in GROUPS.items():
        inverse = np.linalg.inv(np.cov(x, rowvar=False, ddof=1) + RIDGE * np.eye(x.shape[1]))
        score = cdist(x, x.mean(axis=0, keepdims=True), "mahalanobis", VI=inverse)[:, 0] + 1
        put("mahalanobis", name, score=score)


def quantile():
    rng = np.random.default_rng(20)
    levels = np.array([0.0, 0.15, 1 / 3, 0.5, 0.85, 0.99, 1.0], dtype=np.float32)
    cases = {
        "one": rng.normal(size=1),
        "two": rng.normal(size=2),
        "odd": rng.normal(size=101),
        "ties": rng.integers(0, 4, size=50).astype(float),
        "large": rng.normal(size=64) + 1e6,
    }
    for name, values in cases.items():
        values = values.astype(np.float32).astype(np.float64)
        put("quantile", name, values=values, levels=levels, expected=np.quantile(values, levels.astype(np.float64)))
    cases["nan"] = np.where(rng.random(40) < 0.2, np.nan, rng.normal(size=40))
    cases["all_nan"] = np.full(3, np.nan)
    for name, values in cases.items():
        values = values.astype(np.float32)
        threshold = np.float32(np.nanquantile(values.astype(np.float64), 1 - 0.15)) if name != "all_nan" else np.nan
        put("keep", name, values=values, threshold=np.float32([threshold]), kept=np.flatnonzero(values <= threshold))


def neighbor():
    for name, x, bank in (
        ("cloud", cloud(30, 20, 12), cloud(31, 50, 12)),
        ("offset", cloud(32, 20, 12, offset=1000.0), cloud(33, 30, 12, offset=1000.0)),
        ("copies", GROUPS["copies"], copies(5, 8, 4, [2] * 8)),
    ):
        squared = cdist(x, bank, "sqeuclidean")
        weights = np.random.default_rng(34).random(len(bank)).astype(np.float32).astype(np.float64)
        index = squared.argmin(axis=1)
        put("neighbor", name, x=x, bank=bank, weights=weights, index=index, squared=squared.min(axis=1),
            score=weights[index] * squared.min(axis=1))
    x = GROUPS["copies"]
    squared = cdist(x, x, "sqeuclidean")
    np.fill_diagonal(squared, np.inf)
    put("neighbor", "self", x=x, bank=x, weights=np.ones(len(x)), index=squared.argmin(axis=1),
        squared=squared.min(axis=1), score=squared.min(axis=1))


def chacha8_words(seed):
    """Little-endian 64-bit words of ChaCha8 keyed by PCG32 from a 64-bit seed, as rand_core's seed_from_u64 does it."""
    m32, m64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
    rotl = lambda v, s: ((v << s) | (v >> (32 - s))) & m32
    key = []
    for _ in range(8):
        seed = (seed * 6364136223846793005 + 11634580027462260723) & m64
        word = (((seed >> 18) ^ seed) >> 27) & m32
        key.append(rotl(word, 32 - (seed >> 59)) if seed >> 59 else word)
    block = 0
    while True:
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *key, block & m32, block >> 32, 0, 0]
        s = list(start)

        def quarter(a, b, c, d):
            s[a] = (s[a] + s[b]) & m32; s[d] = rotl(s[d] ^ s[a], 16)
            s[c] = (s[c] + s[d]) & m32; s[b] = rotl(s[b] ^ s[c], 12)
            s[a] = (s[a] + s[b]) & m32; s[d] = rotl(s[d] ^ s[a], 8)
            s[c] = (s[c] + s[d]) & m32; s[b] = rotl(s[b] ^ s[c], 7)

        for _ in range(4):
            for i in range(4):
                quarter(i, 4 + i, 8 + i, 12 + i)
            for i in range(4):
                quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        words = [(a + b) & m32 for a, b in zip(s, start)]
        yield from (words[i] | words[i + 1] << 32 for i in range(0, 16, 2))
        block += 1


def start_samples(kept, seed):
    if kept <= 10:
        return list(range(kept))
    drawn = []
    for word in chacha8_words(seed):
        position = word * kept >> 64
        if position not in drawn:
            drawn.append(position)
        if len(drawn) == 10:
            return drawn


def greedy(z, kept, picks, seed):
    # Sums in plain Python and in order, so that equal distances are equal here and in the program.
    rows = [[float(v) for v in z[i]] for i in kept]
    squared = lambda a, b: sum((p - q) ** 2 for p, q in zip(a, b))
    samples = start_samples(len(kept), seed)
    mean = [sum(math.sqrt(squared(row, rows[s])) for s in samples) / len(samples) for row in rows]
    nearest = [math.inf] * len(rows)
    order = [max(range(len(rows)), key=lambda i: mean[i])]
    while len(order) < min(picks, len(rows)):
        nearest = [min(old, squared(row, rows[order[-1]])) for old, row in zip(nearest, rows)]
        order.append(max((i for i in range(len(rows)) if i not in order), key=lambda i: nearest[i]))
    return [kept[i] for i in order]


def coreset():
    grid = np.array([[i, j] for i in range(6) for j in range(6)], dtype=np.float64)
    every_other = np.arange(1, 90, 2)
    z = cloud(40, 90, 8)
    for name, z, kept, picks, seed in (
        ("cloud", z, np.arange(90), 30, 0),
        ("dropped", z, every_other, 20, 7),
        ("offset", cloud(41, 50, 8, offset=1000.0), np.arange(50), 12, 2**32 - 1),
        ("ties", grid, np.arange(36), 36, 3),
        ("copies", GROUPS["copies"], np.arange(len(GROUPS["copies"])), 20, 4),
        ("few", z, np.array([3, 5, 8, 40]), 9, 5),
    ):
        put("coreset", name, z=z, kept=kept, picks=np.array([picks]), seed=np.array([seed]),
            samples=np.array(start_samples(len(kept), seed)), order=np.array(greedy(z, list(kept), picks, seed)))


if __name__ == "__main__":
    for step in (lof, others, knn, nearest, mahalanobis, quantile, neighbor, coreset):
        step()
    save(OUT)
    print(f"{OUT}: {len(tensors)} tensors, {OUT.stat().st_size} bytes")
