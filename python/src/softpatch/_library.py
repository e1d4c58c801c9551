"""The shared library through ctypes: found, checked, and called. ctypes releases the GIL for the length of a call."""

from __future__ import annotations

import ctypes as c
import json
import os
import sys
from pathlib import Path
from typing import Any

from . import _abi
from ._errors import error_of

Progress = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_uint32, c.c_uint64, c.c_uint64)
# Addresses of arrays of 32-bit floats.
Floats = c.c_void_p


def _signatures() -> dict[str, tuple[Any, list[Any]]]:
    """What each function of softpatch.h returns and takes."""
    handle, status, out, size = c.c_uint64, c.c_int32, c.POINTER, c.c_size_t
    image, result, number = out(_abi.Image), out(_abi.Result), out(c.c_uint32)
    text, made = [c.c_char_p, size, out(size)], out(handle)
    file, options, watched = c.c_char_p, out(_abi.FitOptions), [Progress, c.c_void_p]
    areas = [out(_abi.Region), size, out(size), number, size, out(size)]
    return {
        "last_error_message": (c.c_char_p, []),
        "version": (c.c_char_p, []),
        "abi_version": (c.c_uint32, []),
        "adapter_list": (status, [out(_abi.Adapter), size, out(size)]),
        "context_options_init": (status, [out(_abi.ContextOptions), size]),
        "context_create": (status, [out(_abi.ContextOptions), made]),
        "context_free": (status, [handle]),
        "context_info_json": (status, [handle, *text]),
        "fit_options_init": (status, [options, size]),
        "fit_folder": (status, [handle, file, options, *watched, made]),
        "fit_images": (status, [handle, image, size, options, *watched, made]),
        "detector_save": (status, [handle, file]),
        "detector_to_bytes": (status, [handle, c.c_char_p, size, out(size)]),
        "detector_load": (status, [handle, file, made]),
        "detector_load_bytes": (status, [handle, c.c_char_p, size, made]),
        "detector_free": (status, [handle]),
        "detector_ignore": (status, [handle, file]),
        "detector_info_json": (status, [handle, *text]),
        "detector_calibrated": (status, [handle, c.c_float, out(c.c_float)]),
        "detector_explain": (status, [handle, file, image, c.c_uint32, c.c_uint32, file, made]),
        "detector_verify": (status, [handle, made]),
        "audit": (status, [handle, file, options, *watched, made]),
        "model_calibrate": (status, [handle, file, file, options, file, *watched, made]),
        "model_keep_references": (status, [handle, file, file, options, file, made]),
        "model_info_json": (status, [file, made]),
        "model_history_json": (status, [file, made]),
        "model_remove_image": (status, [file, file, file, made]),
        "model_undo": (status, [file, file, made]),
        "model_allow": (status, [handle, file, file, image, number, file, made]),
        "model_deny": (status, [handle, file, file, image, number, c.c_double, file, made]),
        "text_copy": (status, [handle, *text]),
        "text_free": (status, [handle]),
        "peak": (status, [handle, c.c_uint32, Floats, size, c.c_uint32, c.c_uint32, number, number]),
        "regions": (status, [handle, Floats, size, c.c_uint32, c.c_uint32, c.c_float, *areas]),
        "score_batch": (status, [handle, image, size, c.c_uint32, out(Floats), out(size), result]),
        "score": (status, [handle, image, c.c_uint32, Floats, size, result]),
        "stream_create": (status, [handle, size, made]),
        "stream_submit": (status, [handle, image, out(c.c_uint64)]),
        "stream_wait": (status, [handle, c.c_uint64, c.c_uint32, Floats, size, result]),
        "stream_discard": (status, [handle, c.c_uint64, number]),
        "stream_in_flight": (status, [handle, out(size)]),
        "stream_free": (status, [handle]),
    }


def _open(path: str) -> c.CDLL:
    """The library as it is, from a path or by a name that the system looks for."""
    told = "set SOFTPATCH_LIBRARY to the library's path, or install the wheel, which holds it: pip install ./python"
    try:
        return c.CDLL(path)
    except OSError as error:
        raise ImportError(f"softpatch's library cannot be loaded ({error}): {told}") from None


def _load() -> c.CDLL:
    name = {"win32": "softpatch.dll", "darwin": "libsoftpatch.dylib"}.get(sys.platform, "libsoftpatch.so")
    beside = Path(__file__).with_name(name)
    path = os.environ.get("SOFTPATCH_LIBRARY") or (str(beside) if beside.exists() else None)
    if path is None:
        # Looking through the system takes modules and time that a wheel has no use for.
        from ctypes.util import find_library

        path = find_library("softpatch") or name
    library = _open(path)
    for name, (returns, takes) in _signatures().items():
        function = getattr(library, f"softpatch_{name}", None)
        if function is None:
            raise ImportError(f"{path}: has no softpatch_{name}; it is not softpatch's library, or not that of this package")
        function.restype, function.argtypes = returns, takes
    if library.softpatch_abi_version() != _abi.ABI_VERSION:
        raise ImportError(f"{path}: interface {library.softpatch_abi_version()}, this package is for {_abi.ABI_VERSION}")
    return library


library = _load()
version: str = library.softpatch_version().decode()


def call(name: str, *arguments: Any) -> None:
    """Calls softpatch_`name`; what it says of a failure is raised."""
    status = getattr(library, "softpatch_" + name)(*arguments)
    if status:
        raise error_of(status, library.softpatch_last_error_message().decode())


def text(name: str, handle: int) -> Any:
    """What a function writes as JSON into a buffer."""
    size = c.c_size_t()
    call(name, handle, None, 0, c.byref(size))
    buffer = c.create_string_buffer(size.value)
    call(name, handle, buffer, size, None)
    return json.loads(buffer.value.decode())


def made(name: str, *arguments: Any) -> Any:
    """What a function gives as a text of its own, a JSON document."""
    handle = c.c_uint64()
    call(name, *arguments, c.byref(handle))
    try:
        return text("text_copy", handle.value)
    finally:
        library.softpatch_text_free(handle)


def optional_path(path: str | os.PathLike[str] | None) -> bytes | None:
    """A path as C takes it; None is null."""
    return None if path is None else os.fsencode(path)


class Handle:
    """A number of the library's, which is freed once nobody has it any more. Whoever calls with `id` holds the handle
    until the call returns, so that no other thread frees it meanwhile."""

    __slots__ = ("_kind", "id")

    def __init__(self, kind: str, id: int) -> None:
        self._kind, self.id = kind, id

    def close(self) -> None:
        """Frees it now; calls with it raise SoftpatchError from then on."""
        id, self.id = self.id, 0
        if id:
            # In a forked process nothing is freed, and nothing is said of it.
            getattr(library, f"softpatch_{self._kind}_free")(id)

    def __del__(self) -> None:
        self.close()
