"""A shard of a fit: a process that has the features of its images, and makes them again where it took the place of another."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import ray

from .._context import Context
from .._detector import Detector
from .._shards import Plan
from ._cluster import Share, context
from ._quantile import count

if TYPE_CHECKING:
    Floats = npt.NDArray[np.float32]
    Patches = npt.NDArray[np.int64]


class Chosen(NamedTuple):
    """Patches of a shard."""

    vectors: Floats
    # Their numbers in the shard.
    patches: Patches
    # From the bank that there is.
    distances: Floats | None


def in_order(chosen: Any, parts: Sequence[Any]) -> Any:
    """Rows of each shard, which lie in the order chosen there, in the order of all (`Shard.merge`)."""
    order = np.argsort(np.argsort(chosen[:, 0], kind="stable"), kind="stable")
    return np.ascontiguousarray(np.concatenate(parts)[order])


class Shard:
    """Images `first ..` of a plan. Whatever it is asked for follows from its arguments and its images, so that one that
    replaces another gives the same answers."""

    def __init__(self, share: Share, options: Mapping[str, Any], given: Sequence[Any], scratch: str | None) -> None:
        share.enter()
        self._options = options
        found: tuple[Plan, list[str], int] = ray.get(given[0])
        self._plan, self._paths, self._first = found
        self._folder = tempfile.TemporaryDirectory(prefix="softpatch-", dir=scratch)
        self._features: tuple[Floats, Floats] | None = None

    @property
    def _context(self) -> Context:
        return context(self._options)

    def _file(self, name: str, values: int) -> Floats:
        shape = len(self._paths), self._plan.positions, values
        return np.memmap(Path(self._folder.name) / name, np.float32, "w+", shape=shape)

    def _arrays(self) -> tuple[Floats, Floats]:
        """Vectors and embeddings, which wait in files of this machine."""
        if self._features is None:
            plan = self._plan
            vectors, embeddings = self._file("vectors", plan.projected), self._file("embeddings", plan.dim)
            plan.features(self._paths, vectors, embeddings, self._context)
            self._features = vectors, embeddings
        return self._features

    def features(self) -> float:
        """Makes the features; the seconds that it took."""
        began = time.monotonic()
        self._arrays()
        return time.monotonic() - began

    def block(self, start: int, end: int) -> Floats:
        """Vectors `[images][end - start][projected]` of some grid positions."""
        return np.ascontiguousarray(self._arrays()[0][:, start:end])

    def judge(self, sizes: Sequence[int], *blocks: Floats) -> list[Any]:
        """Outlier scores of some grid positions, of the vectors of all shards: those of each shard of `sizes` images, and last
        how many neighbours LOF used."""
        scores, lof_k = self._plan.outlier_scores(np.concatenate(blocks), self._context)
        parts = np.split(scores, np.cumsum(sizes)[:-1])
        return [*(np.ascontiguousarray(part) for part in parts), lof_k]

    def counts(self, scores: Floats, prefixes: Sequence[int], level: int) -> list[npt.NDArray[np.int64]]:
        """For the quantile."""
        return count(scores, prefixes, level)

    def kept(self, scores: Floats, threshold: float | None) -> Patches:
        """Patches that are looked at and were not dropped, ascending."""
        all = scores.reshape(-1)
        keeps = all >= 0 if threshold is None else (all >= 0) & (all <= np.float32(threshold))
        found: Patches = np.flatnonzero(keeps)
        return found

    def choose(self, scores: Floats, threshold: float | None, rows: int) -> Chosen:
        """`rows` of the kept patches by greedy k-centre; of all, where there are no more."""
        patches = self.kept(scores, threshold)
        vectors = self._rows(0, patches)
        chosen = self._plan.choose(vectors, rows, context=self._context)
        return Chosen(vectors[chosen], patches[chosen], None)

    def farthest(self, scores: Floats, threshold: float | None, centres: Floats, taken: Patches, count: int) -> Chosen:
        """The `count` kept patches, but for `taken` ones, that are farthest from `centres`, the farthest first, with their
        distances."""
        patches = np.setdiff1d(self.kept(scores, threshold), taken)
        vectors = self._rows(0, patches)
        distances = self._plan.distances(vectors, centres, self._context)
        # Of the same distance, the first: what replaces this process gives the same.
        order = np.argsort(-distances, kind="stable")[:count]
        return Chosen(vectors[order], patches[order], distances[order])

    def merge(self, rows: int, *parts: Chosen) -> npt.NDArray[np.int64]:
        """`rows` of what shards chose, `[rows][2]`: number of the shard, and of the patch in it. In the order chosen; where
        there are no more, they are those of one shard after the other."""
        vectors = np.concatenate([part.vectors for part in parts])
        shards = np.repeat(np.arange(len(parts)), [len(part.patches) for part in parts])
        patches = np.concatenate([part.patches for part in parts])
        known = [part.distances for part in parts if part.distances is not None]
        distances = np.concatenate(known) if known else None
        if len(patches) > rows:
            chosen = self._plan.choose(vectors, rows, distances, self._context)
            shards, patches = shards[chosen], patches[chosen]
        return np.stack([shards, patches], axis=1)

    def vectors(self, patches: Patches) -> Floats:
        """Their vectors."""
        return self._rows(0, patches)

    def rows(self, scores: Floats, patches: Patches) -> tuple[Floats, Floats, npt.NDArray[np.uint32]]:
        """Embeddings, outlier scores and places (image of the plan, position) of patches."""
        images, positions = np.divmod(patches, self._plan.positions)
        places = np.stack([images + self._first, positions], axis=1).astype(np.uint32)
        return self._rows(1, patches), scores.reshape(-1)[patches], places

    def _rows(self, which: int, patches: Patches) -> Floats:
        array = self._arrays()[which]
        return np.ascontiguousarray(array.reshape(-1, array.shape[-1])[patches])

    def radius(self, scores: Floats, threshold: float | None, centres: Floats) -> float:
        """How far the kept patches are from the nearest of `centres`, at most."""
        vectors = self._rows(0, self.kept(scores, threshold))
        return float(self._plan.distances(vectors, centres, self._context).max(initial=0))

    def leave_one_out(self, model: bytes) -> tuple[Floats, Floats]:
        """Scores of the images against the memory bank without the rows of each, and peaks of their maps."""
        detector = Detector.load(model, context=self._context)
        return self._plan.leave_one_out(detector, self._arrays()[1], self._first, self._context)

    def assemble(self, images: Sequence[str], chosen: Any, about: Mapping[str, Any], *parts: Any) -> bytes:
        """The model of the rows that were chosen, which `rows` of each shard has; it has no thresholds."""
        embeddings, scores, places = (in_order(chosen, of) for of in zip(*parts))
        return self._plan.model(images, embeddings, scores, places, context=self._context, **about).to_bytes()

    def finish(self, model: bytes, *left: tuple[Floats, Floats]) -> bytes:
        """The model with its thresholds, of what `leave_one_out` of each shard has."""
        scores, peaks = (np.concatenate(of) for of in zip(*left))
        detector = Detector.load(model, context=self._context)
        return self._plan.finish(detector, scores, peaks, self._context).to_bytes()
