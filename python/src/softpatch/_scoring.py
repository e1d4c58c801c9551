"""Images to scores: one, several, and what streams need for theirs."""

from __future__ import annotations

import ctypes as c
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _abi
from ._images import View
from ._library import Handle, call, text
from ._results import Score

_GRID, _FRAME = _abi.MAPS["grid"], _abi.MAPS["frame"]


class Facts(NamedTuple):
    """What scoring needs to know of a model: significant bits of arrays of uint16, thresholds, images scored
    at a time, and rows and columns of its maps."""

    bits: int
    threshold: float | None
    pixel_threshold: float | None
    batch: int
    grid: tuple[int, int]
    frame: tuple[int, int]

    @classmethod
    def of(cls, handle: Handle) -> Facts:
        """Of a detector."""
        info = text("detector_info_json", handle.id)
        # They are of 32 bits, and their decimals are as short as can be.
        found = [info.get(name) for name in ("threshold", "pixel_threshold")]
        above = [None if value is None else float(np.float32(value)) for value in found]
        sizes: Any = tuple(info["grid"]), tuple(info["frame"])
        options = info["options"]
        pixels = above[0] if above[1] is None else above[1]
        return cls(options.get("bits", 0), above[0], pixels, options.get("batch", 1), *sizes)

    def map(self, kind: int, image: _abi.Image) -> npt.NDArray[np.float32]:
        """Room for an image's map. Without a map, that of the grid tells where the peak is."""
        if kind <= _GRID:
            return np.empty(self.grid, np.float32)
        return np.empty(self.frame if kind == _FRAME else (image.height, image.width), np.float32)


def finished(
    handle: Handle, facts: Facts, result: _abi.Result, kind: int, map: npt.NDArray[np.float32], image: _abi.Image
) -> Score:
    """The score of an image by what C wrote."""
    x, y = c.c_uint32(), c.c_uint32()
    size = image.width, image.height
    call("peak", handle.id, kind or _GRID, map.ctypes.data, map.size, *size, c.byref(x), c.byref(y))
    return Score(result, (x.value, y.value), map if kind else None, handle, facts)


def score_one(handle: Handle, facts: Facts, seen: View, kind: int) -> Score:
    """The score of an image."""
    image, result = seen.image, _abi.Result()
    map = facts.map(kind, image)
    call("score", handle.id, c.byref(image), kind or _GRID, map.ctypes.data, map.size, c.byref(result))
    return finished(handle, facts, result, kind, map, image)


def score_several(handle: Handle, facts: Facts, seen: list[View], kind: int, first: int) -> list[Score]:
    """The scores of images, counted from `first` on."""
    count = len(seen)
    images, results = (_abi.Image * count)(*(v.image for v in seen)), (_abi.Result * count)()
    maps = [facts.map(kind, v.image) for v in seen]
    places = (c.c_void_p * count)(*(m.ctypes.data for m in maps))
    rooms = (c.c_size_t * count)(*(m.size for m in maps))
    call("score_batch", handle.id, images, count, kind or _GRID, places, rooms, results)
    scores = [finished(handle, facts, r, kind, m, v.image) for r, m, v in zip(results, maps, seen)]
    for score in scores:
        score.ticket += first
    return scores
