"""An exact quantile of outlier scores that lie on many machines, as one machine finds it (shaders/outlier/quantile.wgsl)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    Floats = npt.NDArray[np.float32]
    Counts = npt.NDArray[np.int64]

# How many scores begin with a prefix, by the 16 bits after it: of all machines together, for each of the prefixes.
Count = Callable[[Sequence[int], int], list["Counts"]]

_BINS = 1 << 16


def keys(scores: Floats) -> npt.NDArray[np.uint32]:
    """Bits of scores, which are in their order: of 0 and above. What is no number, and infinity, count as the largest float;
    patches that are not looked at (-1) are left out."""
    scores = scores[~(scores < 0)]
    largest = np.float32(np.finfo(np.float32).max)
    return np.where(np.isfinite(scores), scores, largest).astype(np.float32).view(np.uint32)


def count(scores: Floats, prefixes: Sequence[int], level: int) -> list[Counts]:
    """What one machine counts: at level 0 by the upper 16 bits, at level 1 by the lower ones of what begins with a prefix."""
    found = keys(scores)
    if level == 0:
        return [np.bincount(found >> 16, minlength=_BINS) for _ in prefixes]
    return [np.bincount(found[found >> 16 == prefix] & 0xFFFF, minlength=_BINS) for prefix in prefixes]


def quantile(count: Count, q: float) -> tuple[float, int]:
    """The `q` quantile with linear interpolation between the two nearest in order, and how many scores there are."""
    (upper,) = count([0], 0)
    total = int(upper.sum())
    if not total:
        raise ValueError("no patch of the training images is looked at")
    at = q * (total - 1)
    ranks = [math.floor(at), min(math.floor(at) + 1, total - 1)]
    ends = np.cumsum(upper)
    prefixes = [int(np.searchsorted(ends, rank, side="right")) for rank in ranks]
    values = []
    for rank, prefix, lower in zip(ranks, prefixes, count(prefixes, 1)):
        rest = rank - int(ends[prefix] - upper[prefix])
        suffix = int(np.searchsorted(np.cumsum(lower), rest, side="right"))
        values.append(np.array([prefix << 16 | suffix], np.uint32).view(np.float32)[0])
    # In the arithmetic of the shader.
    low, high = values
    return float(low + (high - low) * np.float32(at - math.floor(at))), total
