"""The device that does the work."""

from __future__ import annotations

import ctypes as c
import numbers
import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _abi
from ._arguments import flag, string, strings, whole
from ._library import Handle, call, text

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._arguments import PathLike


def adapters() -> list[dict[str, Any]]:
    """The usable adapters, the fastest kind first: dictionaries with index, name, driver, backend and kind.

    >>> {"index", "name", "driver", "backend", "kind"} == set(softpatch.adapters()[0])
    True
    """
    count = c.c_size_t()
    call("adapter_list", None, 0, c.byref(count))
    found = (_abi.Adapter * count.value)()
    if count.value:
        call("adapter_list", found, count, c.byref(count))
    names = ("name", "driver", "backend", "kind")
    return [{"index": a.index, **{n: getattr(a, n).decode(errors="replace") for n in names}} for a in found]


class Owner:
    """What the library holds for Python until it is closed, or nothing refers to it any more."""

    _handle: Handle

    def close(self) -> None:
        """Frees it; using it afterwards raises SoftpatchError."""
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_lock = threading.Lock()
# Those that were opened for whoever did not bring one: the default, and those of detectors that came by pickle.
_shared: dict[tuple[tuple[str, Any], ...], Context] = {}


def _forked() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _reopened(*options: tuple[str, Any]) -> Context:
    """A context with these options, one in a process for all who ask for it."""
    with _lock:
        context = _shared.get(options)
        if context is None or not context._handle.id:
            context = _shared[options] = Context(**dict(options))
        return context


class Context(Owner):
    """A device with a backbone and a memory budget. Nobody needs one who is content with the fastest adapter and the built-in
    backbone: `Context.default()` is opened at the first use.

    `adapter` is an index of `softpatch.adapters()` or a part of a name, and `low_power` prefers an integrated GPU;
    `memory_budget` bounds in bytes, on device and host together, what grows with the training images. `weights` names a file
    with the weights of another backbone; `architecture` and `layers` (a list of names) say what its contents do not tell.
    `cache_folder` is where a device remembers what passed its self-test (None: nowhere), `self_test=False` does without.
    `device_timeout` is how many seconds the device may be silent before it counts as lost (30).

    >>> with softpatch.Context(memory_budget=2 << 30) as context:
    ...     backend = context.info["backend"]
    """

    def __init__(
        self,
        adapter: int | str | None = None,
        low_power: bool = False,
        memory_budget: int | None = None,
        weights: PathLike | None = None,
        architecture: str | None = None,
        layers: str | Iterable[str] | None = None,
        cache_folder: PathLike | None = None,
        self_test: bool = True,
        device_timeout: float | None = None,
    ) -> None:
        options = _abi.ContextOptions()
        call("context_options_init", c.byref(options), c.sizeof(options))
        if isinstance(adapter, numbers.Integral):
            options.adapter_index = whole("adapter", adapter, c.c_int32)
        elif adapter is not None:
            options.adapter_name = string("adapter", adapter, "a number or a part of a name")
        options.power = flag("low_power", low_power)
        if memory_budget is not None:
            options.memory_budget = whole("memory_budget", memory_budget, c.c_uint64, "a number of bytes")
        if weights is not None:
            options.weights_path = os.fsencode(weights)
        if architecture is not None:
            options.architecture = string("architecture", architecture)
        if layers is not None:
            layers = tuple(name.decode() for name in strings("layers", layers))
            options.layers = ",".join(layers).encode()
        if cache_folder is not None:
            options.cache_folder = os.fsencode(cache_folder)
        options.no_self_test = int(not self_test)
        if device_timeout is not None:
            milliseconds = round(1000 * device_timeout)
            options.device_timeout_ms = whole("device_timeout", milliseconds, c.c_uint64, "a number of seconds")
        made = c.c_uint64()
        call("context_create", c.byref(options), c.byref(made))
        self._handle = Handle("context", made.value)
        given: dict[str, Any] = {"adapter": adapter, "memory_budget": memory_budget, "weights": weights}
        given |= {
            "architecture": architecture,
            "layers": layers,
            "cache_folder": cache_folder,
            "device_timeout": device_timeout,
        }
        given |= {"low_power": low_power or None, "self_test": None if self_test else False}
        self._options = tuple((name, value) for name, value in given.items() if value is not None)

    @classmethod
    def default(cls) -> Context:
        """The one that is used where none is given; it is opened at the first use, and lives as long as the process."""
        return _reopened()

    @property
    def info(self) -> dict[str, Any]:
        """What the device offers and what of it is used: adapter, driver, backend, archetype, peak_bytes, ..."""
        found: dict[str, Any] = text("context_info_json", self._handle.id)
        return found

    def __reduce__(self) -> Any:
        # In the process that unpickles it, a context with these options, which is shared.
        return _reopened, self._options


def given_or_default(context: Context | None) -> Context:
    """The default context in the place of None."""
    return Context.default() if context is None else context
