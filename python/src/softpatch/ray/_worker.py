"""What scores: one worker a process, with the model loaded once."""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from .._detector import Detector
from .._errors import SoftpatchError
from .._results import Score
from ._cluster import Share, context
from ._files import write_whole
from ._modules import pa, ray
from ._pictures import Decode, contents

_REGION = pa.struct(
    [(name, pa.int32()) for name in ("x", "y", "width", "height")]
    + [("area", pa.int64()), ("peak", pa.float32()), ("peak_x", pa.int32()), ("peak_y", pa.int32())]
)

# Codes of softpatch.h that a picture alone is to blame for: INVALID_ARGUMENT, INVALID_IMAGE and LIMIT.
_ITS_OWN = (3, 5, 12)


class Plan(NamedTuple):
    """How pictures become rows."""

    share: Share
    context: Mapping[str, Any]
    decode: Decode | None
    # Columns of the input: the picture, and what it is called.
    image: str
    name: str
    order: str
    bits: int | None
    regions: bool
    maps: str | None

    def schema(self) -> pa.Schema:
        """The columns of the output."""
        columns = [("number", pa.int64()), ("path", pa.string()), ("score", pa.float32()), ("anomalous", pa.bool_())]
        columns += [("calibrated", pa.float32()), ("peak_x", pa.int32()), ("peak_y", pa.int32())]
        columns += [("regions", pa.list_(_REGION))] if self.regions else []
        columns += [("map", pa.string())] if self.maps is not None else []
        return pa.schema([*columns, ("error", pa.string())])


def told(error: BaseException) -> str:
    """What an error says, with its kind where that is not the library's own."""
    return str(error) if isinstance(error, SoftpatchError) else f"{type(error).__name__}: {error}"


def _pixels(value: Any, name: str, decode: Decode | None) -> Any:
    """The pixels of a picture, or why there are none. `value` is the content of a file, or an array; None: in the file."""
    try:
        if value is None:
            value = contents(name)
        if isinstance(value, (bytes, memoryview)):
            if decode is None:
                raise ValueError("the bytes of a file, and nothing to decode them")
            return decode(bytes(value), name)
        return np.asarray(value)
    except Exception as error:  # of any decoder: it becomes the picture's row
        return error


def read_apart(batch: pa.Table, decode: Decode) -> pa.Table:
    """Reads files and decodes them in a task of its own, where CPUs are to spare beside the GPUs."""
    columns: dict[str, list[Any]] = {"pixels": [], "shape": [], "kind": [], "error": []}
    for name in batch.column("path").to_pylist():
        found = _pixels(None, name, decode)
        failed = isinstance(found, Exception)
        columns["error"].append(told(found) if failed else None)
        columns["pixels"].append(None if failed else np.ascontiguousarray(found).tobytes())
        columns["shape"].append(None if failed else list(found.shape))
        columns["kind"].append(None if failed else found.dtype.str)
    kinds = (pa.large_binary(), pa.list_(pa.int32()), pa.string(), pa.string())
    arrays = [pa.array(values, kind) for values, kind in zip(columns.values(), kinds)]
    return pa.table({"number": batch.column("number"), "path": batch.column("path"), **dict(zip(columns, arrays))})


def _was_read(batch: pa.Table) -> list[Any]:
    """What `read_apart` made."""
    found: list[Any] = []
    for pixels, shape, kind, error in zip(*(batch.column(name) for name in ("pixels", "shape", "kind", "error"))):
        if error.is_valid:
            found.append(_Said(error.as_py()))
        else:
            found.append(np.frombuffer(pixels.as_buffer(), kind.as_py()).reshape(shape.as_py()))
    return found


class _Said(Exception):
    """What another process said of a picture."""


def _given(column: pa.ChunkedArray) -> list[Any]:
    """Pictures of a data set: arrays (Ray's tensors), or the contents of files."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return [one for chunk in column.chunks for one in chunk.to_numpy(zero_copy_only=False)]


class Worker:
    """Has the model on a device and makes rows of pictures."""

    def __init__(self, model: Any, plan: Plan) -> None:
        plan.share.enter()
        loaded: Any = ray.get(model[0]) if isinstance(model, list) else model
        self._detector = Detector.load(loaded, context=context(plan.context))
        self._plan, self._schema = plan, plan.schema()
        self._readers = ThreadPoolExecutor(plan.share.threads)

    def __call__(self, batch: pa.Table) -> pa.Table:
        plan = self._plan
        numbers, names = batch.column("number").to_pylist(), batch.column(plan.name).to_pylist()
        if "pixels" in batch.column_names and "shape" in batch.column_names:
            found = _was_read(batch)
        else:
            values = _given(batch.column(plan.image)) if plan.image in batch.column_names else [None] * len(names)
            found = list(self._readers.map(lambda value, name: _pixels(value, name, plan.decode), values, names))
        rows = []
        for number, name, score in zip(numbers, names, self._scores(found)):
            rows.append({"number": number, "path": str(name), **self._row(number, name, score)})
        return pa.Table.from_pylist(rows, schema=self._schema)

    def _scores(self, found: list[Any]) -> list[Any]:
        """A score for each of the pictures, or why there is none."""
        kept = [i for i, one in enumerate(found) if not isinstance(one, Exception)]
        scores = dict(zip(kept, self._several([found[i] for i in kept])))
        return [scores.get(i, one) for i, one in enumerate(found)]

    def _several(self, images: list[Any]) -> list[Any]:
        plan = self._plan
        kind: Any = "source" if plan.regions or plan.maps is not None else None
        order: Any = plan.order
        try:
            if len(images) == 1:
                return [self._detector.score(images[0], kind, order, plan.bits)]
            return list(self._detector.score(images, kind, order, plan.bits)) if images else []
        except (SoftpatchError, TypeError, ValueError) as error:
            if isinstance(error, SoftpatchError) and error.code not in _ITS_OWN:
                raise
            # One of them is to blame: the others have their scores.
            return [one for image in images for one in self._several([image])] if len(images) > 1 else [error]

    def _row(self, number: int, name: Any, score: Score | Exception) -> dict[str, Any]:
        if isinstance(score, Exception):
            return {"error": str(score) if isinstance(score, _Said) else told(score)}
        row: dict[str, Any] = {"score": score.score, "anomalous": score.anomalous, "calibrated": score.calibrated}
        row |= {"peak_x": score.peak[0], "peak_y": score.peak[1]}
        if self._plan.regions:
            row["regions"] = [
                dict(zip(("x", "y", "width", "height"), region.bbox), area=region.area, peak=region.peak)
                | dict(zip(("peak_x", "peak_y"), region.peak_at))
                for region in score.regions
            ]
        if self._plan.maps is not None and score.map is not None:
            # Named by the picture: a worker that does another's work again writes the same file.
            path = Path(self._plan.maps) / f"{number:08d}-{PurePath(str(name)).stem}.npy"
            data = io.BytesIO()
            np.save(data, score.map)
            write_whole(path, data.getvalue())
            row["map"] = str(path)
        return row
