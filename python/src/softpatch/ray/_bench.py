"""The program's `softpatch bench`, its cells spread over a cluster."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._arguments import strings, whole
from . import _program
from ._cluster import RETRIES, Share, card, connect
from ._files import out_folder, write_whole
from ._modules import ray
from ._rows import digest

if TYPE_CHECKING:
    from .._arguments import PathLike

_log = logging.getLogger("softpatch")
# What `bench` decides itself.
_OURS = ("category", "out", "device", "no_keep_features", "help", "quiet", "verbose", "log")
# No set has a category of this name.
_NONE = "\u241f"


@dataclass(frozen=True)
class Benched:
    """What `bench` made: the folder, the table as the program prints it, a dictionary for each cell as in results.json, what
    was left out, and how many cells the run that makes the table had to compute itself (0 where all machines are of a kind)."""

    out: Path
    table: str
    cells: list[dict[str, Any]]
    notes: list[str]
    computed_last: int
    seconds: float


class _Part(NamedTuple):
    """A run of the program on some of the cells: what it is called, its arguments, and its cells that are there."""

    name: str
    arguments: list[str]
    cells: Any


def bench(
    dataset: PathLike,
    out: PathLike,
    *,
    methods: str | Iterable[str] = ("patchcore", "softpatch-lof"),
    noise: Iterable[float] = (0.0, 0.05, 0.1, 0.15),
    seeds: int = 1,
    category: str | Iterable[str] | None = None,
    by: Literal["category", "method", "noise"] = "category",
    concurrency: int | None = None,
    num_gpus: float = 0,
    num_cpus: float | None = None,
    program: PathLike | None = None,
    scratch: PathLike | None = None,
    **options: Any,
) -> Benched:
    """Compares methods on a data set made dirty on purpose, as `softpatch bench DATASET --out OUT` does, on a Ray cluster.

    The program runs once for each part, in a folder of its own on its machine, and the cells that it has finished travel to
    `out` on the caller's machine: `by` is what the parts are, categories, or categories and methods, or categories and shares
    of noise. (The cells of one category share one pass through the backbone; parts of the same category each make it anew.) A
    last run on the cluster finds all cells there and makes the tables of them, so that results.csv, results.json and table.md
    are those that one run of the program would have made.

    What it needs: `dataset` under the same path on every machine and the caller's, the program on each (`program`,
    SOFTPATCH_PROGRAM or PATH) in the same version, and one kind of adapter: cells of another adapter are not taken for the
    table's, and computed again (`Benched.computed_last` counts them).

    `options` are those of the program, with underscores (protocol="overlap", crop=224, coreset_ratio=0.1, metric_size="frame",
    ...): True is an option without a value. A part is given `num_gpus` or `num_cpus` (1); `concurrency` bounds how many run at
    once. Cells that `out` has are not computed again, so that a call that was broken off goes on. A part whose worker dies is
    begun again; with `scratch`, a folder for the parts on each machine, or one that they share, it goes on from its cells. A
    part that fails is named once the others are done, and what they finished stays.

    >>> done = softpatch.ray.bench("mvtec_ad", "results", seeds=3, num_gpus=1, protocol="overlap")  # doctest: +SKIP
    >>> print(done.table)  # doctest: +SKIP
    """
    began = time.monotonic()
    if by not in ("category", "method", "noise"):
        raise ValueError(f"by is {by!r}; there are 'category', 'method' and 'noise'")
    if concurrency is not None and whole("concurrency", concurrency) < 1:
        raise ValueError(f"concurrency is {concurrency!r}; it takes 1 or more, or None")
    for name in _OURS:
        if name in options:
            raise TypeError(f"{name} is no option here: parts have folders, categories and devices of their own")
    share, path = Share(num_cpus, num_gpus), _program.needed(program)
    dataset = os.path.abspath(dataset)
    names = [name.decode() for name in strings("methods", methods)]
    shares = [noise] if isinstance(noise, (int, float)) else list(noise)
    general = _program.flags({"seeds": whole("seeds", seeds), **_found_anywhere(options)})
    whole_run = [*general, *_program.flags({"methods": names, "noise": shares})]
    wanted = None if category is None else [name.decode() for name in strings("category", category)]
    categories = _categories(path, dataset, os.path.abspath(out), whole_run, wanted, options)
    folder = out_folder(out)
    for below in "cells", "splits":
        out_folder(folder / below)

    connect()
    task = ray.remote(max_retries=RETRIES, **share.options())(_run)
    place = None if scratch is None else os.path.abspath(scratch)
    there = _read(folder, "cells")
    parts = []
    for one in categories:
        cells = ray.put(_of(there, one))
        for method in names if by == "method" else [None]:
            for amount in shares if by == "noise" else [None]:
                some = {"methods": names if method is None else [method], "noise": shares if amount is None else [amount]}
                arguments = [*general, *_program.flags({**some, "category": one})]
                title = ", ".join(str(w) for w in (one, method, amount) if w is not None)
                parts.append(_Part(title, arguments, cells))
    failed = []
    for part, files, error in _each(task, parts, (program, dataset, share, place), concurrency):
        _log.info("%s: %s", part.name, error or f"{sum(name.endswith('.json') for name in files)} cells")
        _keep(folder, {name: data for name, data in files.items() if name.startswith(("cells/", "splits/"))})
        failed += [f"{part.name}: {error}"] if error else []
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(parts)} parts failed, the cells of the others are in {folder}: {'; '.join(failed)}"
        )

    there = _read(folder, "cells")
    limited = [] if wanted is None else _program.flags({"category": wanted})
    last = _Part("the table", [*whole_run, *limited], ray.put(there))
    for _, files, error in _each(task, [last], (program, dataset, share, place), None):
        if error:
            raise RuntimeError(f"the table: {error}")
        _keep(folder, {name: data for name, data in files.items() if there.get(name) != data})
        results = json.loads(files["results.json"])
        new = sum(name.endswith(".json") and name.startswith("cells/") and name not in there for name in files)
        table = files["table.md"].decode()
    return Benched(folder, table, results["cells"], results["notes"], new, time.monotonic() - began)


def _found_anywhere(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with files and folders by their whole paths: workers are elsewhere."""
    files = ("backbone", "roi", "splits")
    return {
        name: os.path.abspath(value) if name in files and value is not None else value for name, value in options.items()
    }


def _categories(
    program: str, dataset: str, out: str, run: list[str], wanted: list[str] | None, options: Mapping[str, Any]
) -> list[str]:
    """The categories, where the program takes the options and the set; no device is opened for it."""
    # It looks at its options first, then at the set, and then finds no such category, before it makes the folder.
    tried = _program.run(program, ["bench", dataset, "--out", out, *run, f"--category={_NONE}"])
    if f"no category {_NONE}" not in tried.stderr:
        raise ValueError(f"softpatch bench: {_program.failure(tried)}")
    how = {name: options[name] for name in ("layout", "take", "all", "strict") if name in options}
    done = _program.run(program, ["data", dataset, "--json", *_program.flags(how)])
    if done.returncode:
        raise ValueError(f"{dataset}: {_program.failure(done)}")
    found = {one["name"]: one["fit"] or one["eval"] for one in json.loads(done.stdout)["categories"]}
    for name in wanted or ():
        if name not in found:
            raise ValueError(f"there is no category {name} in {dataset}; there are {', '.join(found)}")
    chosen = [name for name in found if wanted is None or name in wanted]
    for name in chosen:
        if found[name]:
            raise ValueError(f"{name}: {found[name]}")
    return chosen


def _read(folder: Path, *below: str) -> dict[str, bytes]:
    """The finished files of a run, by their places in its folder."""
    files = [path for name in below for path in (folder / name).glob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if not path.name.startswith(".")}


def _of(cells: Mapping[str, bytes], category: str) -> dict[str, bytes]:
    """The cells of a category, with their pictures."""
    keys = set()
    for name, data in cells.items():
        if name.endswith(".json"):
            try:
                mine = json.loads(data)["settings"]["category"] == category
            except (ValueError, KeyError, TypeError):
                continue
            keys |= {Path(name).stem} if mine else set()
    return {name: data for name, data in cells.items() if Path(name).stem.partition("-")[0] in keys}


def _keep(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files, pictures before the cells that name them."""
    for name in sorted(files, key=lambda name: (name.endswith(".json"), name)):
        path = folder / name
        if not path.exists() or path.read_bytes() != files[name]:
            write_whole(path, files[name])


def _each(task: Any, parts: list[_Part], given: tuple[Any, ...], concurrency: int | None) -> Any:
    """Runs the parts, and gives each with its files, or what is wrong, as it is done."""
    waiting, running = list(parts), dict[Any, _Part]()
    try:
        while waiting or running:
            while waiting and (concurrency is None or len(running) < concurrency):
                part = waiting.pop(0)
                running[task.remote(*given, part.arguments, part.cells)] = part
            done, _ = ray.wait(list(running))
            for reference in done:
                part = running.pop(reference)
                try:
                    files, error = ray.get(reference)
                except ray.exceptions.RayError as lost:
                    files, error = {}, f"the work was lost: {str(lost).strip().splitlines()[-1]}"
                yield part, files, error
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _run(
    program: Any, dataset: str, share: Share, scratch: str | None, arguments: list[str], cells: dict[str, bytes]
) -> tuple[dict[str, bytes], str | None]:
    """In a worker: runs the program in a folder that has the cells, and gives the files of the folder."""
    share.enter()
    with ExitStack() as stack:
        try:
            path = _program.needed(program)
            if scratch is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="softpatch-")))
            else:
                folder = Path(scratch) / f"softpatch-{digest(dataset, *arguments)[:16]}"
                folder.mkdir(parents=True, exist_ok=True)
            (folder / "cells").mkdir(exist_ok=True)
            _keep(folder, cells)
            device = _program.flags({"device": card({})})
            done = _program.run(path, ["bench", dataset, "--out", str(folder), *arguments, *device])
            files = _read(folder, "cells", "splits", ".")
            if scratch is not None and done.returncode in (0, 3):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            return {}, f"{type(error).__name__}: {error}"
        if done.returncode not in (0, 3):
            return {name: data for name, data in files.items() if name.startswith("cells/")}, _program.failure(done)
        return files, None
