"""Answers in JSON as dictionaries that show themselves in a notebook."""

from __future__ import annotations

import importlib
from base64 import b64encode
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from ._pictures import framed


def _table(title: str, head: list[str], rows: list[list[object]]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(_said(value))}</td>" for value in row) + "</tr>" for row in rows)
    return f"<p>{escape(title)}</p><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"


def _said(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Explanation(dict[str, Any]):
    """What `softpatch explain --json` prints: score, threshold, anomalous, `places` (the worst first, each with bbox, score and
    the training patches that it is nearest to), `over` (the patches above the threshold), ... In a notebook it shows the places
    in the picture, those below the threshold in grey, and their neighbours in a table."""

    _pixels: npt.NDArray[np.uint8] | None = None

    def _picture(self) -> npt.NDArray[np.uint8] | None:
        if self._pixels is None and self.get("image") is not None:
            try:
                pillow = importlib.import_module("PIL.Image")
                with pillow.open(self["image"]) as image:
                    self._pixels = np.asarray(image.convert("RGB"))
            except (ImportError, OSError):
                return None
        return self._pixels

    def _repr_png_(self) -> bytes | None:
        pixels = self._picture()
        if pixels is None:
            return None
        return framed(pixels, [(tuple(p["bbox"]), p["above_threshold"] is False) for p in self["places"]]).png()

    def _repr_html_(self) -> str:
        rows: list[list[object]] = []
        for number, place in enumerate(self["places"], 1):
            for neighbour in place["neighbours"]:
                rows.append([number, place["bbox"], place["score"], neighbour["name"], neighbour["at"], neighbour["score"]])
        told = "no threshold" if self["threshold"] is None else f"threshold {self['threshold']:.4g}"
        head = ["place", "x, y, width, height", "score", "nearest training image", "patch (row, column)", "its score"]
        # Where both are there, notebooks show this and not the picture.
        png = self._repr_png_()
        shown = "" if png is None else f'<img src="data:image/png;base64,{b64encode(png).decode()}" alt="places">'
        return shown + _table(f"score {self['score']:.4g}, {told}", head, rows)


class Audit(dict[str, Any]):
    """What `softpatch audit --json` prints: `images`, the most suspicious first, each with name, suspicion, suspect, dropped,
    peak and regions; `contaminated` (an estimate); `notes`. In a notebook it shows the first twenty."""

    def _repr_html_(self) -> str:
        images, estimate = self["images"], self["contaminated"]
        rows: list[list[object]] = [
            [image["name"], image["suspicion"], "yes" if image["suspect"] else "", image["dropped"], image["peak"]]
            for image in images[:20]
        ]
        title = f"{len(images)} images, {estimate['count']} suspect ({estimate['at_least']} to {estimate['at_most']})"
        return _table(title, ["image", "suspicion", "suspect", "patches dropped", "peak (x, y)"], rows)
