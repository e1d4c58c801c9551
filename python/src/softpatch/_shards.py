"""The work of a fit in calls whose arrays may lie on several machines: what `softpatch.ray.fit` is made of.

Arrays are C-contiguous float32. Vectors are `[images][positions][projected]` and embeddings `[images][positions][dim]`; patches
that are not looked at are infinite in both.
"""

from __future__ import annotations

import ctypes as c
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._arguments import FitSettings, fit_options
from ._context import Context, given_or_default
from ._detector import Detector
from ._library import Handle, call, made
from ._progress import ProgressLike, Watched

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._arguments import PathLike, Take

    Floats = npt.NDArray[np.float32]


def _floats(values: Any, what: str) -> Floats:
    """The array as C reads it; what has another layout is copied."""
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        raise TypeError(f"{what} is {type(values).__name__}; it takes an array of float32")
    return np.ascontiguousarray(values)


@dataclass(frozen=True)
class Plan:
    """What all shards agree on; it travels by pickle. Every method takes the context to work on (None: the default one) and what
    hears how far it is."""

    text: str
    images: int
    grid: tuple[int, int]
    dim: int
    projected: int
    options: dict[str, Any] = field(compare=False)

    @property
    def positions(self) -> int:
        """Patches of an image."""
        return self.grid[0] * self.grid[1]

    @classmethod
    def make(
        cls,
        folder: PathLike,
        *,
        context: Context | None = None,
        progress: ProgressLike = None,
        layout: str | None = None,
        take: Take = (),
        all: bool = False,
        **settings: Unpack[FitSettings],
    ) -> tuple[Plan, list[str], list[str]]:
        """The plan of a fit of the images of a folder as `Detector.fit` makes it, the paths of these images, and what there is
        to say of them."""
        options, context = fit_options(settings, layout, take, all), given_or_default(context)
        with Watched(progress) as watched:
            given = os.fsencode(folder), c.byref(options), watched.callback, None
            found = made("shards_plan", context._handle.id, *given)
        plan = found["plan"]
        text, (rows, columns) = json.dumps(plan), plan["grid"]
        made_of = plan["images"], (rows, columns), plan["dim"], plan["projected"], plan["options"]
        return cls(text, *made_of), found["paths"], found["notes"]

    def features(
        self,
        paths: Sequence[PathLike],
        vectors: Floats,
        embeddings: Floats,
        context: Context | None = None,
        progress: ProgressLike = None,
    ) -> None:
        """Fills `vectors` and `embeddings` of image files."""
        for array in (vectors, embeddings):
            if array.dtype != np.float32 or not array.flags.c_contiguous or not array.flags.writeable:
                raise TypeError("vectors and embeddings must be writable C-contiguous arrays of float32")
        names = (c.c_char_p * len(paths))(*(os.fsencode(path) for path in paths))
        context = given_or_default(context)
        with Watched(progress) as watched:
            rooms = vectors.ctypes.data, vectors.size, embeddings.ctypes.data, embeddings.size
            given = self.text.encode(), names, len(paths), *rooms, watched.callback, None
            call("shards_features", context._handle.id, *given)

    def outlier_scores(
        self, vectors: Floats, context: Context | None = None, progress: ProgressLike = None
    ) -> tuple[Floats, int | None]:
        """Scores `[images][positions]` of some grid positions of all images, -1 where a patch is not looked at; and how many
        neighbours LOF used."""
        vectors, context, lof_k = _floats(vectors, "vectors"), given_or_default(context), c.c_uint32()
        scores = np.empty(vectors.size // self.projected, np.float32)
        with Watched(progress) as watched:
            arrays = vectors.ctypes.data, vectors.size, scores.ctypes.data, scores.size
            given = self.text.encode(), *arrays, c.byref(lof_k), watched.callback, None
            call("shards_outlier_scores", context._handle.id, *given)
        return scores.reshape(self.images, -1), lof_k.value or None

    def choose(
        self,
        vectors: Floats,
        rows: int,
        distances: Floats | None = None,
        context: Context | None = None,
        progress: ProgressLike = None,
    ) -> npt.NDArray[np.uint32]:
        """Places of `rows` of `vectors` `[..][projected]` by greedy k-centre, in the order chosen; of all, ascending, where
        there are no more. With `distances` `[..]` from a bank it goes on from there."""
        vectors, context = _floats(vectors, "vectors"), given_or_default(context)
        count = vectors.size // self.projected
        if distances is not None:
            distances = _floats(distances, "distances")
            if distances.size != count:
                raise ValueError(f"there are {distances.size} distances of {count} vectors")
        chosen = np.empty(min(rows, count), np.uint32)
        with Watched(progress) as watched:
            given = None if distances is None else distances.ctypes.data
            arrays = vectors.ctypes.data, vectors.size, given, rows, chosen.ctypes.data, chosen.size
            call("shards_choose", context._handle.id, self.text.encode(), *arrays, watched.callback, None)
        return chosen

    def distances(
        self, vectors: Floats, centres: Floats, context: Context | None = None, progress: ProgressLike = None
    ) -> Floats:
        """Distances of `vectors` `[..][projected]` from the nearest of `centres` `[..][projected]`."""
        vectors, centres, context = _floats(vectors, "vectors"), _floats(centres, "centres"), given_or_default(context)
        found = np.empty(vectors.size // self.projected, np.float32)
        with Watched(progress) as watched:
            arrays = vectors.ctypes.data, vectors.size, centres.ctypes.data, centres.size, found.ctypes.data, found.size
            call("shards_distances", context._handle.id, self.text.encode(), *arrays, watched.callback, None)
        return found

    def model(
        self,
        images: Sequence[str],
        embeddings: Floats,
        scores: Floats,
        places: npt.NDArray[np.uint32],
        threshold: float | None,
        kept: int,
        lof_k: int | None,
        context: Context | None = None,
    ) -> Detector:
        """The detector whose memory bank are rows with `embeddings` `[rows][dim]`, outlier `scores` `[rows]` and `places`
        `[rows][2]` (image, grid position); it has no threshold yet."""
        embeddings, scores = _floats(embeddings, "embeddings"), _floats(scores, "scores")
        places, context, out = np.ascontiguousarray(places, np.uint32), given_or_default(context), c.c_uint64()
        rows = len(scores)
        if embeddings.size != rows * self.dim or places.size != 2 * rows:
            raise ValueError(f"there are {rows} scores, {embeddings.shape} embeddings and {places.shape} places")
        about = {"images": list(images), "threshold": threshold, "kept": kept, "lof_k": lof_k}
        arrays = embeddings.ctypes.data, scores.ctypes.data, places.ctypes.data, rows
        call("shards_model", context._handle.id, self.text.encode(), json.dumps(about).encode(), *arrays, c.byref(out))
        return Detector(Handle("detector", out.value), context)

    def leave_one_out(
        self,
        detector: Detector,
        embeddings: Floats,
        first: int,
        context: Context | None = None,
        progress: ProgressLike = None,
    ) -> tuple[Floats, Floats]:
        """Scores of the images `first ..` of the plan against the memory bank without the rows of each, and the largest values
        of their maps, NaN where none was made."""
        embeddings, context = _floats(embeddings, "embeddings"), given_or_default(context)
        images = embeddings.size // (self.positions * self.dim)
        scores, peaks = np.empty(images, np.float32), np.empty(images, np.float32)
        handle = detector._handle
        with Watched(progress) as watched:
            arrays = embeddings.ctypes.data, embeddings.size, first, scores.ctypes.data, peaks.ctypes.data, images
            given = self.text.encode(), handle.id, *arrays, watched.callback, None
            call("shards_leave_one_out", context._handle.id, *given)
        return scores, peaks

    def finish(self, detector: Detector, scores: Floats, peaks: Floats, context: Context | None = None) -> Detector:
        """The detector with thresholds, from `scores` and `peaks` of all images in order."""
        scores, peaks = _floats(scores, "scores"), _floats(peaks, "peaks")
        if scores.size != peaks.size:
            raise ValueError(f"there are {scores.size} scores and {peaks.size} peaks")
        context, out, handle = given_or_default(context), c.c_uint64(), detector._handle
        arrays = scores.ctypes.data, peaks.ctypes.data, scores.size
        call("shards_finish", context._handle.id, self.text.encode(), handle.id, *arrays, c.byref(out))
        return Detector(Handle("detector", out.value), context)

    def rows(self, looked_at: int) -> int:
        """Rows of the memory bank, where so many of all patches are looked at."""
        return max(1, int(self.options["coreset-ratio"] * looked_at + 1e-9))
