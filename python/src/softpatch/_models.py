"""Folders before a fit, and model files after it."""

from __future__ import annotations

import ctypes as c
import os
from typing import TYPE_CHECKING, Any

from ._arguments import FitSettings, box, fit_options, real, string, whole
from ._context import Context, given_or_default
from ._documents import Audit
from ._images import ImageLike, view
from ._library import made, optional_path
from ._progress import ProgressLike, Watched

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._arguments import PathLike, Take

    Region = tuple[int, int, int, int]


def audit(
    folder: PathLike,
    *,
    context: Context | None = None,
    progress: ProgressLike = None,
    layout: str | None = None,
    take: Take = (),
    all: bool = False,
    **settings: Unpack[FitSettings],
) -> Audit:
    """Which training images of a folder look contaminated, as `Detector.fit` with the same arguments would
    judge them; no model is made."""
    options, context = fit_options(settings, layout, take, all), given_or_default(context)
    with Watched(progress) as watched:
        return Audit(made("audit", context._handle.id, os.fsencode(folder), c.byref(options), watched.callback, None))


class ModelFile:
    """A model in a file: what it says of itself, and its edits.

    Every edit is written whole or not at all, to `output` or into the file itself; thresholds stay, detectors
    that have it loaded are as they were, and `undo` takes it back, bit by bit. It returns a dictionary with
    `model` (the file written), `rows` (of the memory bank) and `edit`, as the history has it.

    >>> detector.save("part.safetensors")
    >>> model = softpatch.ModelFile("part.safetensors")
    >>> model.info["rows"] == detector.info["rows"], model.history
    (True, [])
    """

    def __init__(self, path: PathLike, context: Context | None = None) -> None:
        self.path, self._given = path, context

    def __repr__(self) -> str:
        return f"ModelFile({os.fspath(self.path)!r})"

    @property
    def _id(self) -> int:
        return given_or_default(self._given)._handle.id

    @property
    def _file(self) -> bytes:
        return os.fsencode(self.path)

    @property
    def info(self) -> dict[str, Any]:
        """All that the file says of itself, as `softpatch model MODEL info --json` prints it; no device is
        needed."""
        found: dict[str, Any] = made("model_info_json", self._file)
        return found

    @property
    def history(self) -> list[dict[str, Any]]:
        """The edits, the first one first: what, image, seconds (since 1970), removed, added, made_by,
        fingerprint."""
        found: list[dict[str, Any]] = made("model_history_json", self._file)
        return found

    def calibrate(
        self,
        folder: PathLike,
        target_fpr: float | None = None,
        output: PathLike | None = None,
        *,
        progress: ProgressLike = None,
        layout: str | None = None,
        take: Take = (),
        all: bool = False,
    ) -> dict[str, Any]:
        """Sets the thresholds for a false-alarm rate, from good images that the model was not fitted on: a
        folder of them, or a labelled set. None for `target_fpr`: the rate that the model was fitted for, else
        0.05. The dictionary that `softpatch calibrate --json` prints: threshold, pixel_threshold,
        calibration, at_threshold, ...; `notes`."""
        settings = {} if target_fpr is None else {"target_fpr": target_fpr}
        options = fit_options(settings, layout, take, all)
        given = self._id, self._file, os.fsencode(folder), c.byref(options), optional_path(output)
        with Watched(progress) as watched:
            found: dict[str, Any] = made("model_calibrate", *given, watched.callback, None)
        return found

    def keep_references(
        self,
        folder: PathLike,
        output: PathLike | None = None,
        *,
        layout: str | None = None,
        take: Take = (),
        all: bool = False,
    ) -> dict[str, Any]:
        """Keeps up to 8 images of a folder with their scores on this device, for `Detector.verify`: of the
        training images that the model knows, else of the others. Whoever has the model can look at them."""
        options = fit_options({}, layout, take, all)
        given = self._id, self._file, os.fsencode(folder), c.byref(options), optional_path(output)
        found: dict[str, Any] = made("model_keep_references", *given)
        return found

    def forget_references(self, output: PathLike | None = None) -> dict[str, Any]:
        """Leaves the pictures of `keep_references` out; the dictionary has `model` alone."""
        found: dict[str, Any] = made("model_forget_references", self._file, optional_path(output))
        return found

    def remove_image(self, name: PathLike, output: PathLike | None = None) -> dict[str, Any]:
        """Takes what was learned from a training image out: its name in `info["images"]`, or the end of its
        path where only one ends so."""
        found: dict[str, Any] = made("model_remove_image", self._file, os.fsencode(name), optional_path(output))
        return found

    def undo(self, output: PathLike | None = None) -> dict[str, Any]:
        """Takes the last edit back, bit by bit; `edit` of the answer is what was taken back."""
        found: dict[str, Any] = made("model_undo", self._file, optional_path(output))
        return found

    def allow(
        self,
        image: ImageLike | PathLike,
        name: str | None = None,
        region: Region | None = None,
        output: PathLike | None = None,
        *,
        order: str = "rgb",
        bits: int | None = None,
    ) -> dict[str, Any]:
        """Takes a false alarm for normal: the patches of an image that pass the threshold, or that `region`
        (x, y, width, height in its pixels) touches, become rows of the memory bank. `image` is a path or,
        with a `name`, what `Detector.score` takes. The dictionary has also the image's scores before and
        after, was_anomalous, anomalous, peak, rows_of, threshold."""
        given, _owner = self._picture(image, name, region, order, bits)
        found: dict[str, Any] = made("model_allow", *given, optional_path(output))
        return found

    def deny(
        self,
        image: ImageLike | PathLike,
        name: str | None = None,
        region: Region | None = None,
        at_most: float | None = None,
        output: PathLike | None = None,
        *,
        order: str = "rgb",
        bits: int | None = None,
    ) -> dict[str, Any]:
        """Finds a defect that was missed: the rows of the memory bank that excuse it are taken out, of
        `region` or of what scores highest. At most the share `at_most` of the bank goes (None: 0.02); where
        it takes more, nothing is changed. The rest as in `allow`; rows_of are the training images that rows
        were taken from, [name, rows]."""
        share = 0.0 if at_most is None else real("at_most", at_most)
        if at_most is not None and not 0 < share < 1:
            raise ValueError(f"at_most is {at_most!r}; it must lie between 0 and 1")
        given, _owner = self._picture(image, name, region, order, bits)
        found: dict[str, Any] = made("model_deny", *given, share, optional_path(output))
        return found

    def _picture(self, image: Any, name: Any, region: Any, order: str, bits: Any) -> tuple[tuple[Any, ...], object]:
        """What the edits by an image are given, and the owner of its pixels."""
        where = None if region is None else (c.c_uint32 * 4)(*box(region))
        if isinstance(image, (str, os.PathLike)):
            if name is not None:
                raise TypeError("name goes with an image in memory; that of a file is its path")
            return (self._id, self._file, os.fsencode(image), None, where), None
        if name is None:
            raise TypeError("name is None; an image in memory needs one, under which the model knows it")
        bits = self.info["options"].get("bits", 0) if bits is None else whole("bits", bits)
        seen = view(image, order, bits)
        return (self._id, self._file, string("name", name), c.byref(seen.image), where), seen
