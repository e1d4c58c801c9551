"""Maps in colours, as `softpatch score --heatmaps` draws them, and pictures that show themselves in a
notebook."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
import numpy.typing as npt

# Inferno, 17 evenly spaced samples of 256: the map by Nathaniel J. Smith and Stefan van der Walt, part of
# Matplotlib since 2.0, released under CC0; src/report/colormap.rs has the same.
_INFERNO = np.array(
    [
        (0, 0, 4), (11, 7, 36), (32, 12, 74), (60, 9, 101), (87, 16, 110), (112, 25, 110), (136, 34, 106), (163, 44, 96),
        (188, 55, 84), (210, 72, 67), (229, 92, 48), (243, 120, 25), (251, 154, 6), (251, 186, 31), (246, 215, 70),
        (241, 244, 120), (252, 255, 164),
    ],
    np.float32,
)  # fmt: skip
_LINE = np.array((64, 255, 255), np.float32)
Floats = npt.NDArray[np.float32]


def png_bytes(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels [height, width, 3]."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    # Each row is told as its difference from the one above (filter 2), which takes less room.
    rows[:, 0] = 2
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    rows[1:, 1:] -= pixels.reshape(height, 3 * width)[:-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


class Picture:
    """A picture to look at: `pixels` [height, width, 3] of uint8, red, green, blue. It shows itself in a
    notebook."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        self.pixels = pixels

    def __repr__(self) -> str:
        return f"Picture({self.pixels.shape[1]} x {self.pixels.shape[0]})"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[np.uint8]:
        return self.pixels if dtype is None and not copy else np.array(self.pixels, dtype)

    def png(self) -> bytes:
        """The bytes of a PNG file."""
        return png_bytes(self.pixels)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a PNG file."""
        with open(path, "wb") as file:
            file.write(self.png())

    def _repr_png_(self) -> bytes:
        return self.png()


def _places(map: Floats, limits: tuple[float, float]) -> Floats:
    """Where values lie within the limits, 0 to 1; 0 for what is no number."""
    low, high = np.float32(limits[0]), np.float32(limits[1])
    if high > low:
        places: Floats = np.clip(np.nan_to_num((map - low) / (high - low), nan=0.0), 0, 1).astype(np.float32)
        return places
    hot: Floats = (map > high).astype(np.float32)
    return hot


def _colours(places: Floats) -> Floats:
    at = places * np.float32(len(_INFERNO) - 1)
    index = np.minimum(at.astype(np.int32), len(_INFERNO) - 2)
    part = (at - index)[..., None]
    colours: Floats = np.floor(_INFERNO[index] + (_INFERNO[index + 1] - _INFERNO[index]) * part + np.float32(0.5))
    return colours


def heatmap(map: Floats, limits: tuple[float, float]) -> Picture:
    """A map [rows, columns] in colours: near black below the limits, pale yellow above them."""
    return Picture(_colours(_places(map, limits)).astype(np.uint8))


def overlay(image: npt.NDArray[np.uint8], map: Floats, limits: tuple[float, float], threshold: float | None) -> Picture:
    """A map laid over its image: its opacity grows with its value up to 0.75, so that what is normal stays
    visible. The line around what is above `threshold` is drawn, too."""
    places = _places(map, limits)
    # Slow start: the low half of the range should hardly tint. The dark end would read as shadow.
    alpha = (np.float32(0.75) * places * places * (3 - 2 * places))[..., None]
    tinted = image * (1 - alpha) + _colours(np.float32(0.25) + np.float32(0.75) * places) * alpha + np.float32(0.5)
    pixels: Floats = np.floor(tinted).astype(np.float32)
    if threshold is not None:
        pixels = _contour(pixels, map, np.float32(threshold))
    return Picture(pixels.astype(np.uint8))


def _contour(pixels: Floats, map: Floats, threshold: np.float32) -> Floats:
    """Draws the antialiased line where the map crosses the threshold, about 1.5 pixels wide, in pictures of
    more than 768 pixels in proportion, and with a dark seam so that it shows on any ground."""
    unit = np.float32(max(1.0, max(map.shape) / 768))
    edged = np.pad(map, 1, mode="edge")
    dx, dy = (edged[1:-1, 2:] - edged[1:-1, :-2]) / 2, (edged[2:, 1:-1] - edged[:-2, 1:-1]) / 2
    slope, here = np.sqrt(dx * dx + dy * dy), map - threshold
    # Distance to the line in pixels, by the slope of the map. A plateau has no line.
    distance = np.full_like(map, np.inf)
    np.divide(np.abs(here), slope, out=distance, where=(slope > 0) & np.isfinite(here))
    line = np.clip(np.float32(1.25) * unit - distance, 0, 1)[..., None]
    seam = np.clip(np.float32(2.4) * unit - distance, 0, 1)[..., None] * np.float32(0.45)
    drawn: Floats = np.floor(pixels * (1 - seam) * (1 - line) + _LINE * line + np.float32(0.5))
    return drawn


def framed(pixels: npt.NDArray[np.uint8], boxes: list[tuple[tuple[int, int, int, int], bool]]) -> Picture:
    """A picture with frames around boxes (x, y, width, height), of cyan, or of grey where it says so."""
    out = pixels.copy()
    height, width = out.shape[:2]
    thick = max(1, round(max(height, width) / 256))
    for (x, y, w, h), grey in reversed(boxes):
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        colour = np.array((160, 160, 160) if grey else (64, 255, 255), np.uint8)
        inside = slice(top + thick, max(bottom - thick, 0)), slice(left + thick, max(right - thick, 0))
        inner = out[inside].copy()
        out[top:bottom, left:right] = colour
        out[inside] = inner
    return Picture(out)
