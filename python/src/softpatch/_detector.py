"""A fitted model on a device."""

from __future__ import annotations

import ctypes as c
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from . import _abi
from ._arguments import FitSettings, fit_options, map_kind, real, whole
from ._context import Context, Owner, given_or_default
from ._documents import Explanation
from ._images import ImageLike, picture, several, single, view
from ._library import Handle, call, made, optional_path, text
from ._models import ModelFile
from ._progress import ProgressLike, Told, Watched
from ._results import Region, Score, regions_of, share_below
from ._scoring import Facts, score_one, score_several
from ._stream import Stream
from ._errors import error_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._arguments import MapKind, Order, PathLike, Take

# What a fit has to say: images left out, significant bits, ...
_log = logging.getLogger("softpatch")


class Detector(Owner):
    """A fitted model on a device: `Detector.fit` and `Detector.load` make one.

    Every method may be called from every thread; calls that score take turns, and release the GIL. A detector is pickled as
    the bytes of its model file. Edits (`calibrate`, `allow`, `deny`, `remove_image`, `undo`) change what it scores from then on;
    `save` keeps them.
    """

    def __init__(self, handle: Handle, context: Context) -> None:
        self._handle, self._context = handle, context
        self._known: tuple[Handle, Facts] | None = None
        self._ignored: bytes | None = None

    # Making one.

    @classmethod
    def fit(
        cls,
        images: PathLike | Iterable[ImageLike],
        *,
        context: Context | None = None,
        progress: ProgressLike = None,
        order: Order = "rgb",
        layout: str | None = None,
        take: Take = (),
        all: bool = False,
        **settings: Unpack[FitSettings],
    ) -> Detector:
        """Learns what normal looks like from the images in a folder, or from a list of images (`score` says what one is), a few
        of which may be defective.

        `settings` are those of `softpatch fit`, with underscores. `progress` is True for a bar, or a function `(stage, done,
        total)` that stops the fit by returning False; Ctrl-C stops it, too. Of a folder: `layout` names its layout, None
        recognises it; `take` lists the folders whose images are good, by name or by path below it, where their names do not
        say so; `all` takes all images, whatever the folders are called. Where nothing says which images are good, ChoiceError
        says what is there. What there is to say of the images goes to the logger "softpatch".

        >>> detector = softpatch.Detector.fit(good, size=96)
        >>> len(detector.info["images"]), detector.threshold > 0
        (12, True)
        """
        options, context = fit_options(settings, layout, take, all), given_or_default(context)
        what: tuple[Any, ...]
        if isinstance(images, (str, os.PathLike)):
            name, what = "fit_folder", (os.fsencode(images),)
        else:
            seen = [view(one, order, options.bits, f"images[{i}]") for i, one in enumerate(several(images, "images"))]
            name, what = "fit_images", ((_abi.Image * len(seen))(*(v.image for v in seen)), len(seen))
        out = c.c_uint64()
        with Watched(progress) as watched:
            call(name, context._handle.id, *what, c.byref(options), watched.callback, None, c.byref(out))
            detector = cls(Handle("detector", out.value), context)
        for note in detector.info.get("notes", ()):
            _log.warning("%s", note)
        return detector

    @classmethod
    def load(cls, model: PathLike | bytes | bytearray, *, context: Context | None = None) -> Detector:
        """A model from the file at a path, or from the bytes of one."""
        context, out = given_or_default(context), c.c_uint64()
        if isinstance(model, (bytes, bytearray)):
            call("detector_load_bytes", context._handle.id, bytes(model), len(model), c.byref(out))
        else:
            call("detector_load", context._handle.id, os.fsencode(model), c.byref(out))
        return cls(Handle("detector", out.value), context)

    def save(self, path: PathLike) -> None:
        """Writes the model to a file, whole or not at all."""
        handle = self._handle
        call("detector_save", handle.id, os.fsencode(path))

    def to_bytes(self) -> bytes:
        """The bytes of the model's file."""
        size, handle = c.c_size_t(), self._handle
        call("detector_to_bytes", handle.id, None, 0, c.byref(size))
        buffer = c.create_string_buffer(size.value)
        call("detector_to_bytes", handle.id, buffer, size, None)
        return buffer.raw

    def __reduce__(self) -> Any:
        return _unpickled, (self.to_bytes(), self._context)

    # What it knows.

    @property
    def info(self) -> dict[str, Any]:
        """All that is known about the model: options, backbone, images, grid, frame, threshold, ...; after a fit, `notes`."""
        handle = self._handle
        found: dict[str, Any] = text("detector_info_json", handle.id)
        return found

    @property
    def threshold(self) -> float | None:
        """Scores above it are anomalous; None where the training images do not say how much good parts differ."""
        return self._loaded()[1].threshold

    @property
    def pixel_threshold(self) -> float | None:
        """Values of maps above it are."""
        return self._loaded()[1].pixel_threshold

    @property
    def history(self) -> list[dict[str, Any]]:
        """The model's edits, the first one first, as `ModelFile.history` has them."""
        with tempfile.TemporaryDirectory(prefix="softpatch-") as folder:
            return self._file_in(folder).history

    def __repr__(self) -> str:
        if not self._handle.id:
            return "Detector(closed)"
        return f"Detector(threshold={self.threshold})"

    def _loaded(self) -> tuple[Handle, Facts]:
        """What scores now, and what there is to know of it."""
        handle, known = self._handle, self._known
        if known is None or known[0] is not handle:
            self._known = known = handle, Facts.of(handle)
        return known

    def _bits(self, bits: int | None) -> int:
        """Those that the model was fitted with, unless others are given."""
        return self._loaded()[1].bits if bits is None else whole("bits", bits)

    # Scoring.

    @overload
    def score(
        self,
        images: Sequence[ImageLike] | Iterator[ImageLike],
        map: MapKind | None = None,
        order: Order = "rgb",
        bits: int | None = None,
        *,
        progress: ProgressLike = None,
    ) -> list[Score]: ...

    @overload
    def score(
        self,
        images: ImageLike,
        map: MapKind | None = None,
        order: Order = "rgb",
        bits: int | None = None,
        *,
        progress: ProgressLike = None,
    ) -> Score: ...

    def score(
        self,
        images: Any,
        map: Any = None,
        order: str = "rgb",
        bits: int | None = None,
        *,
        progress: ProgressLike = None,
    ) -> Score | list[Score]:
        """Scores an image, or several in a list, an iterator, or an array of four axes.

        An image is an array [height, width] (grey) or [height, width, 3 or 4] of uint8 or uint16, or what np.asarray makes one
        of: an image of Pillow (PIL.Image.open(path)), a tensor of PyTorch with colours last; `order="bgr"` for OpenCV's. It is
        read where it lies: rows may have gaps (slices work), other layouts are copied. `order="bayer_rg"`, "bayer_gr", "bayer_gb"
        or "bayer_bg" is a Bayer mosaic [height, width] of uint8 whose first row begins with these colours. `bits` are the
        significant ones of uint16, the lower ones: those of the fit unless given. `Frame` has the formats of cameras.

        `map` is None, "grid" (a value a patch), "frame" (a value a pixel of the model's frame) or "source" (a value a pixel of
        the image). `progress` is as in `fit`; Ctrl-C stops a long list, too.

        >>> detector.score(good[0]).anomalous, [s.anomalous for s in detector.score([good[1], bad])]
        (False, [False, True])
        """
        kind, (handle, facts) = map_kind(map), self._loaded()
        bits = facts.bits if bits is None else whole("bits", bits)
        if single(images):
            return score_one(handle, facts, view(images, order, bits), kind)
        scores: list[Score] = []
        total = len(images) if hasattr(images, "__len__") else 0
        waiting, step = enumerate(images), facts.batch
        with Told(progress) as told:
            # A piece takes some tenths of a second, so that Ctrl-C, which Python hears between them, does not wait for long.
            while piece := list(islice(waiting, step)):
                seen = [view(image, order, bits, f"images[{i}]") for i, image in piece]
                start = time.monotonic()
                scores += score_several(handle, facts, seen, kind, len(scores))
                step *= 2 if time.monotonic() - start < 0.25 else 1
                if not told.tell("score", len(scores), max(total, len(scores))):
                    raise error_of(_abi.CANCELLED, "the progress function cancelled the work")
        return scores

    @overload
    async def score_async(
        self,
        images: Sequence[ImageLike] | Iterator[ImageLike],
        map: MapKind | None = None,
        order: Order = "rgb",
        bits: int | None = None,
    ) -> list[Score]: ...

    @overload
    async def score_async(
        self, images: ImageLike, map: MapKind | None = None, order: Order = "rgb", bits: int | None = None
    ) -> Score: ...

    async def score_async(
        self, images: Any, map: Any = None, order: Any = "rgb", bits: int | None = None
    ) -> Score | list[Score]:
        """`score` on a thread of asyncio, while its loop goes on. For frames in flight: `await
        asyncio.wrap_future(stream.submit(frame))`.

        >>> asyncio.run(detector.score_async(bad)).anomalous
        True
        """
        # Whoever awaits has it already; the others need not wait for its import.
        import asyncio

        found: Score | list[Score] = await asyncio.to_thread(self.score, images, map, order, bits)
        return found

    def stream(self, limit: int = 4, map: MapKind | None = None, order: Order = "rgb", bits: int | None = None) -> Stream:
        """Frames in flight, at most `limit` (1 to 4096); the rest as in `score`.

        >>> with detector.stream(limit=4) as stream:
        ...     futures = [stream.submit(image) for image in (good[0], bad)]
        >>> [future.result().anomalous for future in futures]
        [False, True]
        """
        return Stream(*self._loaded(), limit, map_kind(map), order, self._bits(bits))

    def calibrated(self, score: float) -> float | None:
        """The share of good parts that score lower, 0 to 1; None where the model has no scores of good images."""
        handle = self._handle
        return share_below(handle, real("score", score))

    def regions(self, map: npt.NDArray[np.float32], threshold: float | None = None) -> list[Region]:
        """The connected areas of a map [height, width] above `threshold`, the largest first; None is the model's pixel
        threshold, or that of scores where it has none. `Score.regions` has them of its map."""
        map = np.ascontiguousarray(map, np.float32)
        if map.ndim != 2:
            raise ValueError(f"map has {map.ndim} axes; it takes [height, width], as score(..., map='source') has it")
        return regions_of(self._handle, map, threshold)

    def ignore(self, mask: PathLike | None) -> None:
        """Leaves out of all images that are scored from now on what is white in a mask file, which is laid over every image;
        None ends that. The model does not keep it."""
        handle, path = self._handle, optional_path(mask)
        call("detector_ignore", handle.id, path)
        self._ignored = path

    def explain(
        self,
        image: ImageLike | PathLike,
        places: int = 3,
        neighbours: int = 3,
        images: PathLike | None = None,
        order: Order = "rgb",
        bits: int | None = None,
    ) -> Explanation:
        """Why an image, or the file at a path, has its score: its worst `places` (1 to 9), each beside the `neighbours` (1 to 9
        training patches) that it is nearest to. `images` is a folder to look for the training images in.

        >>> why = detector.explain(bad, places=1)
        >>> x, y, width, height = why["places"][0]["bbox"]
        """
        counts, handle = (whole("places", places), whole("neighbours", neighbours)), self._handle
        if isinstance(image, (str, os.PathLike)):
            path = os.fsencode(image)
            return Explanation(made("detector_explain", handle.id, path, None, *counts, optional_path(images)))
        bits = self._bits(bits)
        seen = view(image, order, bits)
        found = made("detector_explain", handle.id, None, c.byref(seen.image), *counts, optional_path(images))
        explanation = Explanation(found)
        explanation._pixels = picture(image, order, bits)
        return explanation

    def verify(self) -> dict[str, Any]:
        """Whether this is the model that was approved and scores here as it did then, by the images that it keeps
        (`keep_references`): the dictionary that `softpatch verify --json` prints, with ok, largest_difference,
        verdict_flips, ..."""
        handle = self._handle
        found: dict[str, Any] = made("detector_verify", handle.id)
        return found

    # Edits, as `ModelFile` has them of files.

    def calibrate(self, folder: PathLike, target_fpr: float | None = None, **how: Any) -> dict[str, Any]:
        """Sets the thresholds for a false-alarm rate; arguments and answer are those of `ModelFile.calibrate`."""
        return self._edited(lambda file: file.calibrate(folder, target_fpr, **how))

    def keep_references(self, folder: PathLike, **how: Any) -> dict[str, Any]:
        """Keeps a few images for `verify`; as `ModelFile.keep_references`."""
        return self._edited(lambda file: file.keep_references(folder, **how))

    def allow(self, image: ImageLike | PathLike, name: str | None = None, **how: Any) -> dict[str, Any]:
        """Takes a false alarm for normal; as `ModelFile.allow`.

        >>> edited = softpatch.Detector.load(detector.to_bytes())
        >>> edited.allow(bad, name="alarm")["anomalous"], edited.score(bad).anomalous
        (False, False)
        >>> edited.undo()["edit"]["what"], edited.score(bad).anomalous
        ('allow', True)
        """
        return self._edited(lambda file: file.allow(image, name, **how))

    def deny(self, image: ImageLike | PathLike, name: str | None = None, **how: Any) -> dict[str, Any]:
        """Finds a defect that was missed; as `ModelFile.deny`."""
        return self._edited(lambda file: file.deny(image, name, **how))

    def remove_image(self, name: PathLike) -> dict[str, Any]:
        """Takes what was learned from a training image out; as `ModelFile.remove_image`."""
        return self._edited(lambda file: file.remove_image(name))

    def undo(self) -> dict[str, Any]:
        """Takes the last edit back."""
        return self._edited(lambda file: file.undo())

    def _file_in(self, folder: str) -> ModelFile:
        path = Path(folder) / "model"
        self.save(path)
        return ModelFile(path, self._context)

    def _edited(self, edit: Callable[[ModelFile], dict[str, Any]]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="softpatch-") as folder:
            file = self._file_in(folder)
            found = edit(file)
            other = Detector.load(Path(file.path).read_bytes(), context=self._context)
            if self._ignored is not None:
                other.ignore(os.fsdecode(self._ignored))
        # Calls in progress end with the model that they began with, which goes with the last of them.
        self._handle = other._handle
        found.pop("model", None)
        return found


def _unpickled(model: bytes, context: Context) -> Detector:
    return Detector.load(model, context=context)
