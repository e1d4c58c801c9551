"""A model for each of many cameras or categories."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._arguments import FitSettings, fit_options, whole
from .._detector import Detector
from .._library import version
from . import _program
from ._cluster import RETRIES, Share, card, checked_context, connect
from ._cluster import context as opened
from ._files import out_folder, write_csv, write_parquet, write_whole
from ._modules import pa, ray
from ._rows import digest
from ._worker import told

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._arguments import PathLike, Take

    Row = dict[str, Any]

_log = logging.getLogger("softpatch")

_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("folder", pa.string()),
        ("model", pa.string()),
        ("pictures", pa.int64()),
        ("seconds", pa.float64()),
        ("threshold", pa.float64()),
        ("size", pa.int64()),
        ("image_auroc", pa.float64()),
        ("pixel_auroc", pa.float64()),
        ("kept", pa.bool_()),
        ("notes", pa.string()),
        ("error", pa.string()),
    ]
)


def fit_many(
    folders: Mapping[str, PathLike],
    out: PathLike,
    *,
    concurrency: int | None = None,
    num_gpus: float = 0,
    num_cpus: float | None = None,
    evaluate: bool | None = None,
    program: PathLike | None = None,
    context: Mapping[str, Any] | None = None,
    layout: str | None = None,
    take: Take = (),
    all: bool = False,
    **settings: Unpack[FitSettings],
) -> list[Row]:
    """Fits a model on each of many folders, in parallel on a Ray cluster, and writes it to `out`/NAME.safetensors.

    `folders` maps names, which become file names, to folders that every machine finds under the same path; each is read as
    `Detector.fit` reads one, with the same `layout`, `take`, `all` and `settings`. A fit is given `num_gpus` (a fraction where
    several share one) or `num_cpus` (1); `concurrency` bounds how many run at once, None is what the cluster has room for.
    `context` has options of `softpatch.Context`. `out` is on the caller's machine: models travel there.

    What is in `out` from an earlier call, made by the same settings from files with the same contents, is kept, and not made
    again. A fit whose worker dies is begun again; one that fails has its error in its row, and the others go on.

    The answer is a dictionary for each name, in the order of `folders`, and the same table lies in `out`/results.csv and
    results.parquet: name, folder, model, pictures (that it was fitted on), seconds (of the fit), threshold, size (bytes of the
    model), image_auroc, pixel_auroc, kept, notes, error. The AUROC are of folders with labelled test pictures, by `softpatch
    eval` where the program is found (`program`, SOFTPATCH_PROGRAM, PATH) on the machine; `evaluate=True` insists on it,
    False does without.

    >>> rows = softpatch.ray.fit_many({"left": "cameras/left", "right": "cameras/right"}, "models", num_gpus=0.5)  # doctest: +SKIP
    >>> [(row["name"], row["pictures"], row["error"]) for row in rows]  # doctest: +SKIP
    [('left', 400, None), ('right', 385, None)]
    """
    fit_options(settings, layout, take, all)
    if concurrency is not None and whole("concurrency", concurrency) < 1:
        raise ValueError(f"concurrency is {concurrency!r}; it takes 1 or more, or None")
    share, options = Share(num_cpus, num_gpus), checked_context(context)
    if evaluate:
        program = _program.needed(program)
    paths = _checked(folders)
    how: dict[str, Any] = {"layout": layout, "take": [os.fspath(t) for t in _listed(take)], "all": bool(all), **settings}
    for name in "roi", "exclude", "weights":
        for given in how, options:
            if given.get(name) is not None:
                given[name] = os.path.abspath(given[name])
    folder = out_folder(out)
    connect()
    wanted = evaluate is None or evaluate
    one = ray.remote(max_retries=RETRIES, **share.options())(_one)
    waiting = [(name, path) for name, path in paths.items()]
    rows: dict[str, Row] = {}
    running: dict[Any, str] = {}
    try:
        while waiting or running:
            while waiting and (concurrency is None or len(running) < concurrency):
                name, path = waiting.pop(0)
                running[one.remote(path, how, share, options, program, wanted, _record(folder, name))] = name
            done, _ = ray.wait(list(running))
            for reference in done:
                name = running.pop(reference)
                rows[name] = _taken(reference, folder, name, paths[name])
                _log.info("%s: %s", name, rows[name]["error"] or f"{rows[name]['pictures']} pictures")
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
    table = [rows[name] for name in paths]
    write_csv(folder / "results.csv", _SCHEMA.names, table)
    write_parquet(folder / "results.parquet", pa.Table.from_pylist(table, schema=_SCHEMA))
    return table


def _listed(take: Any) -> list[Any]:
    return [take] if isinstance(take, (str, bytes, os.PathLike)) else list(take)


def _checked(folders: Any) -> dict[str, str]:
    """The folders by name, where every name can be that of a file and every folder holds something."""
    if not isinstance(folders, Mapping) or not folders:
        raise ValueError(f"folders is {folders!r}; it takes a dictionary of names and folders")
    paths: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name, given in folders.items():
        if not isinstance(name, str) or not re.fullmatch(r"[^\x00-\x1f/\\:*?\"<>|.][^\x00-\x1f/\\:*?\"<>|]*", name):
            raise ValueError(f"{name!r} cannot be the name of a file; models are named by it")
        if name.lower() in seen or name.lower() == "results":
            raise ValueError(
                f"{name!r}: there is {seen.get(name.lower(), 'the table results')!r} already, whose files have that name"
            )
        path = seen[name.lower()] = os.path.abspath(given)
        if not os.path.isdir(path):
            raise NotADirectoryError(f"{name}: {path}: there is no such folder")
        if not any(names for _, _, names in os.walk(path)):
            raise FileNotFoundError(f"{name}: {path}: the folder is empty")
        seen[name.lower()], paths[name] = name, path
    return paths


def _record(folder: Path, name: str) -> Row | None:
    """What an earlier call wrote of a model that is there as it was written."""
    try:
        found: Row = json.loads((folder / f"{name}.json").read_bytes())
        same = found["sha256"] == hashlib.sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if same else None


def _taken(reference: Any, folder: Path, name: str, path: str) -> Row:
    """The row of a finished fit; its model and record are written."""
    row: Row = dict.fromkeys(_SCHEMA.names)
    row |= {"name": name, "folder": path, "kept": False}
    try:
        made, model, record = ray.get(reference)
    except ray.exceptions.RayError as error:
        return {**row, "error": f"the work was lost: {str(error).strip().splitlines()[-1]}"}
    row |= made
    if row["error"] is None:
        file = folder / f"{name}.safetensors"
        row["model"] = str(file)
        if model is not None:
            (folder / f"{name}.json").unlink(missing_ok=True)
            write_whole(file, model)
        if record is not None:
            write_whole(folder / f"{name}.json", json.dumps(record, indent=1).encode())
    return row


def _contents(folder: str, *files: Any) -> str:
    """A digest of all files in a folder, by name and content, and of some others."""
    parts: list[str] = []
    for place, below, names in os.walk(folder):
        below.sort()
        for file in sorted(names):
            path = os.path.join(place, file)
            parts += [os.path.relpath(path, folder), hashlib.sha256(Path(path).read_bytes()).hexdigest()]
    parts += [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files if file is not None]
    return digest(*parts)


def _one(
    folder: str,
    how: dict[str, Any],
    share: Share,
    options: dict[str, Any],
    program: Any,
    evaluate: bool,
    record: Row | None,
) -> tuple[Row, bytes | None, Row | None]:
    """In a worker: fits, and measures. The row, the model and its record; None for what is there already."""
    row: Row = {"error": None}
    try:
        share.enter()
        asked = digest(version, json.dumps([how, options, evaluate], sort_keys=True, default=str))
        made_of = _contents(folder, how.get("roi"), how.get("exclude"), options.get("weights"))
        if record is not None and (record["asked"], record["made_of"]) == (asked, made_of):
            row = {**record["row"], "kept": True, "error": None}
            return row, None, None
        began = time.monotonic()
        detector = Detector.fit(folder, context=opened(options), **how)
        seconds, model, info = time.monotonic() - began, detector.to_bytes(), detector.info
        row |= {"pictures": len(info["images"]), "seconds": seconds, "threshold": info["threshold"], "size": len(model)}
        notes = list(info.get("notes", ()))
        detector.close()
        figures, note = _evaluated(model, folder, how, options, program) if evaluate else ({}, None)
        row |= {**figures, "notes": "; ".join([*notes, *([note] if note else [])]) or None}
        sha256 = hashlib.sha256(model).hexdigest()
        return row, model, {"asked": asked, "made_of": made_of, "sha256": sha256, "row": row}
    except Exception as error:  # of any sort: the others go on, and the table says it
        return {"error": told(error)}, None, None


def _evaluated(
    model: bytes, folder: str, how: dict[str, Any], options: dict[str, Any], program: Any
) -> tuple[Row, str | None]:
    """Figures of a model by the program, or why there are none."""
    path = _program.found(program)
    if path is None:
        return {}, "not evaluated: the program softpatch is not on this machine"
    with tempfile.TemporaryDirectory(prefix="softpatch-") as place:
        file = Path(place) / "model.safetensors"
        file.write_bytes(model)
        which = {name: how[name] for name in ("layout", "take", "all")}
        which |= {"backbone": options.get("weights"), "device": card(options)}
        done = _program.run(path, ["eval", str(file), folder, "--json", *_program.flags(which)])
    if done.returncode not in (0, 3):
        return {}, f"not evaluated: {_program.failure(done)}"
    figures = json.loads(done.stdout)["all"]
    return {name: figures[name] for name in ("image_auroc", "pixel_auroc")}, None
