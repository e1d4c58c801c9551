"""One model from more pictures than one machine has room for."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray

from .._arguments import fit_options, whole
from .._context import Context
from .._detector import Detector
from .._shards import Plan
from ._cluster import RETRIES, Share, checked_context, connect, context
from ._files import write_whole
from ._quantile import quantile
from ._shard import Shard, in_order

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._arguments import FitSettings, PathLike, Take

# Bytes of vectors that are judged together: of some grid positions, of all images.
_BLOCK = 64 << 20

# Rows of the bank that are chosen by shards first, in five. What no shard saw as far off, since its own picks were near, shows
# once all picks are together; the last fifth goes there (docs/measurements.md, "Shards").
_FIRST = 4
_OF = 5

# Patches that a shard names as the farthest, for each row that is still to be chosen: those that are near to another one fall
# out.
_NAMED = 2

# More rows than any shard has patches.
_ALL = 2**32 - 1


@dataclass(frozen=True)
class ShardedFit:
    """What `fit` made.

    `model` is the bytes of the model file. `rows` of `union` patches, which the shards named of `kept` ones of `patches`, are
    its memory bank; no kept patch is farther from it than `radius` (distance of projected vectors), and with the bank of one
    machine than `exact_radius`, where that was asked for. `moved` are the bytes that went from machine to machine, by stage,
    and `seconds` how long each took."""

    model: bytes = field(repr=False)
    images: int
    shards: int
    patches: int
    kept: int
    union: int
    rows: int
    radius: float
    exact_radius: float | None
    moved: Mapping[str, int]
    seconds: Mapping[str, float]
    notes: Sequence[str]

    def save(self, path: PathLike) -> None:
        """Writes the model file, whole or not at all."""
        write_whole(Path(path), self.model)

    def detector(self, context: Context | None = None) -> Detector:
        """The model on a device of this process."""
        return Detector.load(self.model, context=context)


def _planned(
    share: Share, options: Mapping[str, Any], folder: str, how: Mapping[str, Any]
) -> tuple[Plan, list[str], list[str]]:
    """In a worker: the plan of a fit."""
    share.enter()
    return Plan.make(folder, context=context(options), **how)


def _joined(*blocks: Any) -> Any:
    """Outlier scores of all positions of a shard."""
    return np.concatenate(blocks, axis=1)


def _centres(chosen: Any, *parts: Any) -> Any:
    """The vectors of the rows that were chosen."""
    return in_order(chosen, parts)


class _Stages:
    """Seconds by stage, told as they begin."""

    def __init__(self, progress: Callable[[str], object] | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress, self._name, self._began = progress, "", 0.0

    def begin(self, name: str) -> None:
        self.end()
        self._name, self._began = name, time.monotonic()
        if self._progress is not None:
            self._progress(name)

    def end(self) -> None:
        if self._name:
            self.seconds[self._name] = time.monotonic() - self._began


def fit(
    folder: PathLike,
    *,
    shards: int,
    oversample: float = 2.0,
    exact_radius: bool = False,
    num_gpus: float = 0,
    num_cpus: float | None = None,
    context: Mapping[str, Any] | None = None,
    scratch: PathLike | None = None,
    progress: Callable[[str], object] | None = None,
    layout: str | None = None,
    take: Take = (),
    all: bool = False,
    **settings: Unpack[FitSettings],
) -> ShardedFit:
    """Fits one model on the images of a folder, whose features lie on `shards` workers of a Ray cluster: for more pictures than
    one machine has room or time for. Every machine must be able to read the folder at the same path.

    Outlier scores and what is dropped are those of a fit on one machine, exactly; the memory bank is another one, and so are the
    thresholds that follow from it. The bank is chosen by greedy k-centre in steps: each shard chooses `oversample` times its share of four fifths of the rows, as many
    are chosen of these together, and the choice goes on among the patches that are farthest from them. Its covering radius is in
    the answer; that of one machine's choice, too, where `exact_radius` brings all kept vectors to one worker. With one shard the
    model is that of `Detector.fit`, byte for byte.

    A worker is given `num_gpus` (a fraction where several share one) or `num_cpus` (1), and needs disk for its features, in
    `scratch` (None: where temporary files go): 4 * (dim + projected) bytes a patch. One that dies is replaced, and makes its
    features again. `context` has options of `softpatch.Context`; settings and the folder's `layout`, `take` and `all` are
    those of `Detector.fit`, but the discriminator "auto", groups other than "position" and compat "official", which need all
    features in one place. `progress` hears the name of each stage as it begins.

    >>> made = softpatch.ray.fit("photos", shards=8, num_gpus=1, coreset_ratio=0.001)  # doctest: +SKIP
    >>> made.save("part.safetensors")                                                   # doctest: +SKIP
    """
    if whole("shards", shards) < 1:
        raise ValueError(f"shards is {shards!r}; it takes 1 or more")
    if not isinstance(oversample, (int, float)) or not oversample >= 1:
        raise ValueError(f"oversample is {oversample!r}; it takes 1 or more")
    fit_options(settings, layout, take, all)
    share, options = Share(num_cpus, num_gpus), checked_context(context)
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{os.fspath(folder)}: there is no such folder")
    how: dict[str, Any] = {"layout": layout, "take": take, "all": all, **settings}
    # Workers have other working folders.
    how |= {name: os.path.abspath(how[name]) for name in ("roi", "exclude") if how.get(name) is not None}
    options |= {name: os.path.abspath(options[name]) for name in ("weights",) if options.get(name) is not None}
    connect()
    room = share.fit_in()
    if room < shards:
        raise ValueError(
            f"shards is {shards}, and the cluster has room for {room} of them, each with num_cpus={share.num_cpus!r} and "
            f"num_gpus={share.num_gpus!r}; take fewer, give each less, or wait until more machines have joined"
        )
    stages = _Stages(progress)
    stages.begin("plan")
    remote = {**share.options(), "max_retries": RETRIES}
    planned = ray.remote(_planned).options(**remote).remote(share, options, os.path.abspath(folder), how)
    plan, paths, notes = ray.get(planned)
    if shards > plan.images:
        raise ValueError(f"shards is {shards}, and there are {plan.images} images")
    made = _Sharded(plan, paths, shards, share, options, None if scratch is None else os.fspath(scratch), stages)
    try:
        return made.fit(oversample, exact_radius, notes)
    finally:
        made.close()


class _Sharded:
    """A fit under way."""

    def __init__(
        self,
        plan: Plan,
        paths: Sequence[str],
        shards: int,
        share: Share,
        options: Mapping[str, Any],
        scratch: str | None,
        stages: _Stages,
    ) -> None:
        self._plan, self._paths, self._stages = plan, paths, stages
        ends = [i * len(paths) // shards for i in range(shards + 1)]
        self._sizes = [end - start for start, end in zip(ends, ends[1:])]
        actor = ray.remote(Shard).options(**share.options(), max_restarts=RETRIES, max_task_retries=RETRIES)
        # In a list they stay references, which an actor that replaces another can resolve, too, while somebody has them.
        self._given = [ray.put((plan, list(paths[start:end]), start)) for start, end in zip(ends, ends[1:])]
        self._actors: list[Any] = [actor.remote(share, options, [given], scratch) for given in self._given]

    def close(self) -> None:
        """Ends the workers."""
        for actor in self._actors:
            ray.kill(actor)

    def fit(self, oversample: float, exact_radius: bool, notes: Sequence[str]) -> ShardedFit:
        plan, stages, actors = self._plan, self._stages, self._actors
        stages.begin("features")
        ray.get([actor.features.remote() for actor in actors])
        stages.begin("denoise")
        scores, lof_k = self._scores()
        threshold, looked_at = self._threshold(scores)
        stages.begin("coreset")
        kept = [len(found) for found in ray.get([a.kept.remote(s, threshold) for a, s in zip(actors, scores)])]
        rows = min(plan.rows(looked_at), sum(kept))
        chosen, union = self._choose(rows, kept, scores, threshold, oversample)
        centres = self._vectors(chosen)
        radii = ray.get([a.radius.remote(s, threshold, centres) for a, s in zip(actors, scores)])
        exact = self._exact(rows, scores, threshold) if exact_radius else None
        about = {"threshold": threshold, "kept": sum(kept), "lof_k": lof_k}
        found = [a.rows.remote(s, mine) for a, s, mine in zip(actors, scores, self._by_shard(chosen))]
        # By workers that there are: others might find no room.
        model = actors[0].assemble.remote(self._paths, chosen, about, *found)
        stages.begin("calibrate")
        left = [actor.leave_one_out.remote(model) for actor in actors]
        data = ray.get(actors[0].finish.remote(model, *left))
        stages.end()
        patches, several = plan.images * plan.positions, len(actors) > 1
        moved = {
            "denoise": 4 * patches * (plan.projected + 2) if several else 0,
            "coreset": 4 * (union * plan.projected + rows * (2 * len(actors) * plan.projected + plan.dim)) if several else 0,
            "calibrate": len(actors) * len(data) if several else 0,
        }
        sizes = plan.images, len(actors), patches, sum(kept), union, rows
        return ShardedFit(data, *sizes, max(radii), exact, moved, stages.seconds, notes)

    def _by_shard(self, chosen: Any) -> list[Any]:
        """The patches of each shard, of those that were chosen."""
        return [chosen[chosen[:, 0] == i, 1] for i in range(len(self._actors))]

    def _vectors(self, chosen: Any) -> Any:
        """A reference to the vectors of what was chosen."""
        parts = [actor.vectors.remote(mine) for actor, mine in zip(self._actors, self._by_shard(chosen))]
        return ray.remote(_centres).options(num_cpus=0, max_retries=RETRIES).remote(chosen, *parts)

    def _choose(
        self, rows: int, kept: Sequence[int], scores: Sequence[Any], threshold: float | None, oversample: float
    ) -> tuple[Any, int]:
        """The rows of the bank, as `Shard.merge` has them, and how many patches were looked at for them together."""
        actors = self._actors
        first = rows if len(actors) == 1 else max(1, rows * _FIRST // _OF)
        wanted = [min(first, math.ceil(oversample * first * of / max(1, sum(kept)))) for of in kept]
        parts = [a.choose.remote(s, threshold, n) for a, s, n in zip(actors, scores, wanted)]
        chosen: Any = ray.get(actors[0].merge.remote(first, *parts))
        union = sum(map(min, wanted, kept))
        if len(chosen) < rows:
            more = rows - len(chosen)
            centres = self._vectors(chosen)
            mine = self._by_shard(chosen)
            named = [min(_NAMED * more, of - len(taken)) for of, taken in zip(kept, mine)]
            asked = zip(actors, scores, mine, named)
            far = [a.farthest.remote(s, threshold, centres, taken, n) for a, s, taken, n in asked]
            chosen = np.concatenate([chosen, ray.get(actors[0].merge.remote(more, *far))])
            union += sum(named)
        return chosen, union

    def _scores(self) -> tuple[list[Any], int | None]:
        """References to the outlier scores `[images][positions]` of each shard: blocks of grid positions come from all shards
        to one of them, in turn."""
        plan, actors = self._plan, self._actors
        together = max(1, min(plan.positions, _BLOCK // (4 * plan.images * plan.projected)))
        starts = range(0, plan.positions, together)
        parts: list[list[Any]] = []
        waiting: list[Any] = []
        lof_k = None
        for number, start in enumerate(starts):
            # A block for each worker in flight, so that no store fills up.
            if len(waiting) >= len(actors):
                lof_k = ray.get(waiting.pop(0))
            end = min(start + together, plan.positions)
            blocks = [actor.block.remote(start, end) for actor in actors]
            judge = actors[number % len(actors)].judge.options(num_returns=len(actors) + 1)
            *found, used = judge.remote(self._sizes, *blocks)
            parts.append(found)
            waiting.append(used)
        lof_k = ray.get(waiting)[-1] if waiting else lof_k
        join = ray.remote(_joined).options(num_cpus=0, max_retries=RETRIES)
        return [join.remote(*(found[i] for found in parts)) for i in range(len(actors))], lof_k

    def _threshold(self, scores: Sequence[Any]) -> tuple[float | None, int]:
        """The outlier score above which patches are dropped, and how many are looked at."""

        def count(prefixes: Sequence[int], level: int) -> list[Any]:
            found = ray.get([a.counts.remote(s, list(prefixes), level) for a, s in zip(self._actors, scores)])
            return [np.sum(of, axis=0) for of in zip(*found)]

        options = self._plan.options
        threshold, looked_at = quantile(count, 1 - options["tau"])
        return (None if options["discriminator"] == "none" else threshold), looked_at

    def _exact(self, rows: int, scores: Sequence[Any], threshold: float | None) -> float:
        """The covering radius of the bank that one machine chooses."""
        all = [a.choose.remote(s, threshold, _ALL) for a, s in zip(self._actors, scores)]
        centres = self._vectors(ray.get(self._actors[0].merge.remote(rows, *all)))
        return float(max(ray.get([a.radius.remote(s, threshold, centres) for a, s in zip(self._actors, scores)])))
