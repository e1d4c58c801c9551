"""Ray itself, and how a worker process gets its share of a machine: threads of a CPU, or one of the GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._context import Context, adapters
from .._context import _reopened as shared_context
from ._modules import ray

if TYPE_CHECKING:
    from typing_extensions import Self

# Times that a piece of work is begun again after the process or machine that had it died. Work that fails so often kills
# its workers itself.
RETRIES = 10


def connect() -> None:
    """Joins the cluster that the environment names (RAY_ADDRESS), or starts one on this machine, unless that was done."""
    if not ray.is_initialized():
        ray.init()


def total(resource: str) -> float:
    """What the cluster has of a resource, "CPU" or "GPU"."""
    resources: Any = ray.cluster_resources()  # type: ignore[no-untyped-call,unused-ignore]
    return float(resources.get(resource, 0.0))


class Share:
    """What a worker is given: logical CPUs, and GPUs or a fraction of one."""

    def __init__(self, num_cpus: float | None, num_gpus: float) -> None:
        for name, value in ("num_cpus", num_cpus), ("num_gpus", num_gpus):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise TypeError(f"{name} is {value!r}; it takes a number")
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value!r}; it takes 0 or more")
        if not num_cpus and not num_gpus:
            num_cpus = 1.0
        self.num_cpus, self.num_gpus = num_cpus, num_gpus

    @property
    def threads(self) -> int:
        """Threads that a worker may use."""
        return max(1, int(self.num_cpus or 1))

    def options(self) -> dict[str, Any]:
        """As Ray takes it."""
        # Ray plans actors that ask for both less well: those on GPUs ask for CPUs only where the caller says so.
        cpus = {} if self.num_cpus is None else {"num_cpus": self.num_cpus}
        return {**cpus, **({"num_gpus": self.num_gpus} if self.num_gpus else {})}

    def fit_in(self) -> int:
        """How many of these the cluster has room for, 1 at least: Ray waits where there is none yet."""
        rooms = []
        if self.num_gpus:
            rooms.append(total("GPU") / self.num_gpus)
        if self.num_cpus:
            rooms.append(total("CPU") / self.num_cpus)
        return max(1, int(min(rooms)))

    def enter(self) -> Self:
        """In a worker, before it opens a device: holds software drivers (lavapipe) and the library's own threads down to the
        share, since each process would take every core. Whoever sets these variables for the cluster decides it."""
        for name in "LP_NUM_THREADS", "RAYON_NUM_THREADS":
            os.environ.setdefault(name, str(self.threads))
        return self


def card(options: Mapping[str, Any]) -> int | str | None:
    """In a worker: the adapter that is its own, None for the default. Vulkan does not look at the variables by which Ray
    deals out GPUs, so that a worker names one of several itself; they are taken to be counted alike."""
    named: int | str | None = options.get("adapter")
    if named is None:
        given = ray.get_runtime_context().get_accelerator_ids().get("GPU") or []
        cards = [a for a in adapters() if a["kind"] == "discrete"] if given else []
        # A card may be there once more by another of the system's interfaces.
        cards = [a for a in cards if a["backend"] == cards[0]["backend"]]
        if len(cards) > 1 and str(given[0]).isdigit():
            named = cards[int(given[0]) % len(cards)]["index"]
    return named


def context(options: Mapping[str, Any]) -> Context:
    """In a worker: its device, with options of `Context`; one in a process for all who ask for the same."""
    adapter = card(options)
    return shared_context(*sorted({**options, **({} if adapter is None else {"adapter": adapter})}.items()))


def checked_context(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options of `Context`, looked at before a cluster has them: the names."""
    options = dict(options or {})
    code = Context.__init__.__code__
    known = code.co_varnames[1 : code.co_argcount]
    for name in options:
        if name not in known:
            raise TypeError(f"context has no option {name}; there are {', '.join(sorted(known))}")
    if "weights" in options and not os.path.exists(options["weights"]):
        raise FileNotFoundError(f"{options['weights']}: there is no such file of weights")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
