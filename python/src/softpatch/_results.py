"""What a score is, and where an image looks wrong."""

from __future__ import annotations

import ctypes as c
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _abi
from ._arguments import real
from ._images import ImageLike, picture
from ._library import Handle, call
from ._pictures import Picture, heatmap, overlay

if TYPE_CHECKING:
    from ._scoring import Facts


class Region:
    """A connected area of a map: `bbox` (x, y, width, height), `area` in pixels, `peak` (its largest value),
    `peak_at` (x, y), `contour` (array [corners, 2] of x, y: its outer boundary along the edges of pixels,
    clockwise)."""

    bbox: tuple[int, int, int, int]
    area: int
    peak: float
    peak_at: tuple[int, int]
    contour: npt.NDArray[np.uint32]

    def __init__(self, region: _abi.Region, points: npt.NDArray[np.uint32]) -> None:
        self.bbox, self.area = (region.x, region.y, region.width, region.height), region.area
        self.peak, self.peak_at = region.peak, (region.peak_x, region.peak_y)
        self.contour = points[region.first_point : region.first_point + region.point_count]

    def __repr__(self) -> str:
        return f"Region(bbox={self.bbox}, area={self.area}, peak={self.peak}, peak_at={self.peak_at})"


def regions_of(handle: Handle, map: npt.NDArray[np.float32], threshold: float | None) -> list[Region]:
    """The connected areas of a map above `threshold`, None for the model's."""
    above = float("nan") if threshold is None else real("threshold", threshold)
    height, width = map.shape
    given = (handle.id, map.ctypes.data, map.size, width, height, above)
    count, corners = c.c_size_t(), c.c_size_t()
    call("regions", *given, None, 0, c.byref(count), None, 0, c.byref(corners))
    if not count.value:
        return []
    regions, points = (_abi.Region * count.value)(), np.empty((corners.value, 2), np.uint32)
    to = points.ctypes.data_as(c.POINTER(c.c_uint32))
    call("regions", *given, regions, count, c.byref(count), to, corners, c.byref(corners))
    return [Region(region, points) for region in regions]


def share_below(handle: Handle, score: float) -> float | None:
    """The share of good parts that score lower."""
    share = c.c_float()
    call("detector_calibrated", handle.id, score, c.byref(share))
    return None if np.isnan(share.value) else share.value


class Score:
    """What a detector makes of an image.

    >>> score = detector.score(bad, map="source")
    >>> score.anomalous, score.score > score.threshold, score.map.shape
    (True, True, (96, 96))
    >>> x, y, width, height = score.regions[0].bbox

    In a notebook it shows its map. It can be pickled, without its detector.
    """

    score: float
    """The largest score of a patch, 0 or more; not bounded above, and comparable within one model alone."""
    anomalous: bool | None
    """Whether `score` passes `threshold`; None where the model has none."""
    threshold: float | None
    """The model's."""
    peak: tuple[int, int]
    """Column and row of the image where it looks most wrong, in pixels."""
    map: npt.NDArray[np.float32] | None
    """The map that was asked for, [rows, columns], in the unit of `score`."""
    ticket: int
    """The frame of a stream, from 0; else the image's place among those that were scored together."""
    latency: float
    """Seconds from submission to a stream to the result; 0 without a stream."""

    def __init__(
        self,
        result: _abi.Result,
        peak: tuple[int, int],
        map: npt.NDArray[np.float32] | None,
        handle: Handle,
        facts: Facts,
    ) -> None:
        self.score, self.peak, self.map, self.ticket = result.score, peak, map, result.ticket
        self.anomalous = None if result.verdict < 0 else bool(result.verdict)
        self.latency = result.latency_ns * 1e-9
        self.threshold, self._pixel_threshold = facts.threshold, facts.pixel_threshold
        self._handle: Handle | None = handle
        self._regions: list[Region] | None = None
        self._calibrated: float | None = None
        self._bits = facts.bits

    def __repr__(self) -> str:
        return f"Score(score={self.score}, anomalous={self.anomalous}, peak={self.peak})"

    def __float__(self) -> float:
        return self.score

    @property
    def regions(self) -> list[Region]:
        """The connected areas of the map above the model's pixel threshold, the largest first; in pixels of
        the image where the map is that of the "source"."""
        if self._regions is None:
            map = self._needed()
            self._regions = regions_of(self._handle, map, None) if self._handle is not None else []
        return self._regions

    @property
    def calibrated(self) -> float | None:
        """The share of good parts that score lower, 0 to 1; None where the model has no scores of good
        images."""
        if self._calibrated is None and self._handle is not None:
            self._calibrated = share_below(self._handle, self.score)
        return self._calibrated

    def heatmap(self, image: ImageLike | None = None, order: str = "rgb") -> Picture:
        """The map in colours, over the `image` where that is given (and the map is that of the "source").
        Colours are fixed by the model's threshold, not by the image's own range: pictures can be compared.
        The line is the threshold.

        >>> score.heatmap(bad)
        Picture(96 x 96)
        """
        map, threshold = self._needed(), self._pixel_threshold
        most = float(np.nanmax(map, initial=np.finfo(np.float32).tiny))
        limits = (0.0, most) if threshold is None or threshold <= 0 else (0.3 * threshold, 2.5 * threshold)
        if image is None:
            return heatmap(map, limits)
        ground = picture(image, order, self._bits)
        if ground is None:
            return heatmap(map, limits)
        if ground.shape[:2] != map.shape:
            raise ValueError(f"the map is {map.shape} and the image {ground.shape[:2]}; score with map='source'")
        return overlay(ground, map, limits, threshold)

    def _needed(self) -> npt.NDArray[np.float32]:
        if self.map is None:
            raise ValueError("there is no map: ask for one by score(image, map='source')")
        return self.map

    def _repr_png_(self) -> bytes | None:
        return None if self.map is None else self.heatmap().png()

    def __getstate__(self) -> dict[str, Any]:
        if self._handle is not None:
            # What only the detector knows.
            _ = self.calibrated, self.map is None or self.regions
        return {**self.__dict__, "_handle": None}
