"""Many pictures through one model on many machines."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union

from .._arguments import whole
from .._detector import Detector
from .._library import version
from .._models import ModelFile
from ._cluster import RETRIES, Share, checked_context, connect
from ._files import out_folder
from ._modules import expressions, pa, ray
from ._pictures import Decode, Paths, listed, needs_pillow
from ._rows import Rows, digest, read
from ._worker import Plan, Worker, read_apart

if TYPE_CHECKING:
    from .._arguments import Order, PathLike

Model = Union[str, "os.PathLike[str]", bytes, Detector]
_ORDERS = ("rgb", "bgr", "bayer_rg", "bayer_gr", "bayer_gb", "bayer_bg")


@dataclass(frozen=True)
class Scored:
    """What `score` made. `pictures` rows are in the files; `errors` of them say why there is no score, `anomalous` pass the
    threshold, `kept` were there from an earlier call. `repeated` rows came more than once, and are in the files once."""

    out: Path
    pictures: int
    errors: int
    anomalous: int
    kept: int
    repeated: int
    seconds: float

    @property
    def table(self) -> pa.Table:
        """All rows, in the order of the pictures; `.to_pandas()` makes a data frame."""
        return read(self.out)

    @property
    def files(self) -> list[Path]:
        """The Parquet files."""
        return sorted(self.out.glob("part-*.parquet"))


def _model(model: Model) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a model, and what it says of itself: what is none is found here."""
    if isinstance(model, Detector):
        return model.to_bytes(), model.info
    if isinstance(model, bytes):
        with tempfile.TemporaryDirectory(prefix="softpatch-") as folder:
            path = Path(folder) / "model"
            path.write_bytes(model)
            return model, ModelFile(path).info
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model is {model!r}; it takes a path, the bytes of a model file, or a Detector")
    if not os.path.isfile(model):
        raise FileNotFoundError(f"{os.fspath(model)}: there is no such model file")
    info = ModelFile(model).info
    return Path(model).read_bytes(), info


def score(
    pictures: Paths | ray.data.Dataset,
    model: Model,
    out: PathLike,
    *,
    batch: int = 32,
    concurrency: int | tuple[int, int] | None = None,
    num_gpus: float = 0,
    num_cpus: float | None = None,
    send_model: Literal["bytes", "path"] = "bytes",
    regions: bool = False,
    maps: PathLike | None = None,
    order: Order = "rgb",
    bits: int | None = None,
    image: str = "image",
    name: str = "path",
    decode: Decode | None = None,
    context: Mapping[str, Any] | None = None,
    rows_per_file: int = 50_000,
) -> Scored:
    """Scores pictures with a model on all machines of a Ray cluster, and writes a row for each into Parquet files in `out`.

    `pictures` is a folder (all pictures in it and below), a list of paths or addresses ("s3://..."), which every machine must
    be able to read, or a `ray.data.Dataset`, whose column `image` has arrays as `Detector.score` takes them, or the bytes of
    picture files, and whose column `name` says what each is called.

    Columns: number, path, score, anomalous (null without a threshold), calibrated (share of good parts that score lower),
    peak_x, peak_y (pixels; to the patch, unless `regions` or `maps` are asked for), error. A picture that cannot be read or
    scored has its error, and no score. `regions=True` adds the connected areas above the pixel threshold, the largest first;
    `maps` is a folder that all machines share, which gets the anomaly map of each picture in its size as NumPy's .npy, and
    column map has its path.

    Each of `concurrency` workers (one number, or the least and the most) is a process that loads the model once, and scores
    `batch` pictures at a time. It is given `num_gpus` (a fraction where several share one) or `num_cpus` (1); None for
    `concurrency` is as many as the cluster has room for. With GPUs, files are read in tasks of their own, on CPUs of any
    machine; without, each worker reads its own. A software adapter uses no more threads than `num_cpus`. The model travels
    with the work, or, where `send_model` is "path", lies at the same path everywhere. `decode(bytes, path)` makes arrays of
    files in the place of Pillow; `context` has options of `softpatch.Context`.

    A worker that dies is replaced, and what it had not handed over is scored again; only the calling process writes, whole
    files of `rows_per_file` rows, and counts: the answer comes when every picture has exactly one row, or Incomplete says which
    have none. A call that was broken off goes on where `out` has whole files of the same model, pictures and settings (not with
    a Dataset, which has no order to go by).

    >>> done = softpatch.ray.score("photos", "part.safetensors", "scores", num_gpus=0.5)   # doctest: +SKIP
    >>> done.pictures, done.errors, done.table.column_names[:4]                            # doctest: +SKIP
    (50000, 2, ['number', 'path', 'score', 'anomalous'])
    """
    began = time.monotonic()
    for setting, value, low in ("batch", batch, 1), ("rows_per_file", rows_per_file, 1):
        if whole(setting, value) < low:
            raise ValueError(f"{setting} is {value!r}; it takes {low} or more")
    actors = _checked_concurrency(concurrency)
    if order not in _ORDERS:
        raise ValueError(f"order is {order!r}; there are {', '.join(_ORDERS)}")
    if send_model not in ("bytes", "path"):
        raise ValueError(f"send_model is {send_model!r}; there are 'bytes' and 'path'")
    if send_model == "path" and not isinstance(model, (str, os.PathLike)):
        raise ValueError("send_model is 'path', and the model is not one")
    share, options = Share(num_cpus, num_gpus), checked_context(context)
    data, info = _model(model)
    is_set = isinstance(pictures, ray.data.Dataset)
    paths = None if isinstance(pictures, ray.data.Dataset) else listed(pictures)
    if decode is None and not is_set:
        decode = needs_pillow(info)
    if decode is None and is_set:
        decode = _pillow_if_there(info)
    folder = out_folder(out)
    shared_maps = None if maps is None else str(out_folder(maps).absolute())
    plan = Plan(share, options, decode, image, name if is_set else "path", order, bits, bool(regions), shared_maps)
    asked = digest(
        data,
        version,
        json.dumps([rows_per_file, order, bits, bool(regions), shared_maps, sorted(map(str, options.items()))]),
        *(paths or ()),
    )
    rows = Rows(folder, plan.schema(), rows_per_file, paths, asked)
    if paths is None or rows.missing():
        connect()
        where: Any = model
        # In a list it stays a reference, which a worker that replaces another can resolve, too.
        loaded: Any = os.path.abspath(where) if send_model == "path" else [ray.put(data)]
        _work(_source(pictures, paths, rows, plan, batch), loaded, plan, batch, actors, rows)
    rows.end()
    seconds = time.monotonic() - began
    return Scored(folder, len(rows), rows.errors, rows.anomalous, rows.kept, rows.repeated, seconds)


def _checked_concurrency(concurrency: Any) -> tuple[int, int] | None:
    if concurrency is None:
        return None
    low, high = concurrency if isinstance(concurrency, (tuple, list)) and len(concurrency) == 2 else (concurrency,) * 2
    low, high = whole("concurrency", low), whole("concurrency", high)
    if not 1 <= low <= high:
        raise ValueError(f"concurrency is {concurrency!r}; it takes a number of workers, or the least and the most")
    return low, high


def _pillow_if_there(info: Mapping[str, Any]) -> Decode | None:
    """For a data set, which may have arrays and need none."""
    try:
        return needs_pillow(info)
    except (ImportError, ValueError):
        return None


def _source(pictures: Any, paths: list[str] | None, rows: Rows, plan: Plan, batch: int) -> ray.data.Dataset:
    """The pictures that have no row yet, each with a number that is its own."""
    if paths is None:
        names = pictures.columns() or []
        for column in plan.image, plan.name:
            if column not in names:
                raise ValueError(f"the data set has no column {column!r}, but {', '.join(names)}: say image= and name=")
        chosen: ray.data.Dataset = pictures.select_columns([plan.image, plan.name])
        return chosen.with_column("number", expressions.monotonically_increasing_id())
    # Two batches a block: what a worker's death takes away is a few blocks, at most.
    missing = rows.missing()
    blocks = -(-len(missing) // (2 * batch))
    found: ray.data.Dataset = ray.data.from_items(
        [{"number": number, "path": paths[number]} for number in missing], override_num_blocks=blocks
    )
    return found


def _retries() -> dict[str, Any]:
    """How often Ray begins again. Ray Data's own default is for ever, also for a picture that kills every worker; versions from
    2.64 on leave no choice."""
    takes = inspect.signature(ray.data.Dataset.map_batches).parameters.values()
    takes_more = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in takes)
    return {"max_restarts": -1, "max_task_retries": RETRIES} if takes_more else {}


def _work(source: ray.data.Dataset, model: Any, plan: Plan, batch: int, actors: tuple[int, int] | None, rows: Rows) -> None:
    """Runs the pipeline. Ray holds back its earlier steps while the later ones, and the writing here, lag behind."""
    if plan.share.num_gpus and plan.decode is not None and plan.image not in (source.columns() or []):
        reads: Any = read_apart
        source = source.map_batches(reads, fn_args=(plan.decode,), batch_size=batch, batch_format="pyarrow", num_cpus=1)
    low, high = actors or (plan.share.fit_in(),) * 2
    with warnings.catch_warnings():
        # It calls extra parameters deprecated, and has no others for these.
        warnings.simplefilter("ignore", DeprecationWarning)
        scored = source.map_batches(
            Worker,
            fn_constructor_args=(model, plan),
            batch_size=batch,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=low, max_size=high),
            **plan.share.options(),
            **_retries(),
        )
    for table in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
        rows.take(table)
