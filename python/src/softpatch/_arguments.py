"""Arguments of Python as C takes them: numbers are never cut, and what is wrong is named with what it
takes."""

from __future__ import annotations

import ctypes as c
import numbers
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Union

import numpy as np

from . import _abi
from ._library import call

if TYPE_CHECKING:
    PathLike = Union[str, os.PathLike[str]]
    MapKind = Literal["grid", "frame", "source"]
    Order = Literal["rgb", "bgr", "bayer_rg", "bayer_gr", "bayer_gb", "bayer_bg"]
    Take = Union[str, os.PathLike[str], Iterable[Union[str, os.PathLike[str]]]]


class FitSettings(TypedDict, total=False):
    """Settings of a fit, as softpatch.h describes them in softpatch_fit_options; what is not given has its
    default."""

    # Share of training patches that is dropped as noise, 0 to 1.
    tau: float
    # Rows of the memory bank as a share of all training patches.
    coreset_ratio: float
    seed: int
    discriminator: Literal["lof", "nearest", "gaussian", "none", "auto"]
    # Neighbours of the local outlier factor, 1 to 32.
    lof_k: int
    soft_weights: bool
    # Values of a projected patch.
    projection: int
    # With geometry "paper", in pixels: the shorter side, and the square that is looked at.
    resize: int
    crop: int
    # Images that go through the backbone at a time, 1 to 256.
    batch: int
    embedding: Literal["auto", "concat", "pooled"]
    embedding_dim: int
    compat: Literal["none", "official"]
    # Whether images in files are turned as their EXIF orientation says.
    exif: bool
    precision: Literal["f32", "f16"]
    # Significant bits of samples of 16 bits; 0: all, or in files what they show.
    bits: int
    # Values of samples in files that become black and white.
    black: float
    white: float
    geometry: Literal["whole", "paper"]
    fit_aspect: Literal["stretch", "pad", "crop"]
    # Frame in pixels: None or "auto", the shorter side, or (width, height).
    size: Union[None, Literal["auto"], int, tuple[int, int]]
    group: Literal["position", "window", "global"]
    # Side of the window in patches.
    window: int
    # Mask file: only what is white is learned and scored.
    roi: PathLike
    # Share of good images that the thresholds let pass for anomalous; 0: none is asked for.
    target_fpr: float
    # File that lists images of a folder to leave out: one a line, or a CSV with the column path.
    exclude: PathLike


def named(setting: str, name: Any) -> int:
    """The number of a name."""
    names = _abi.NAMED[setting]
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"{setting} is {name!r}; there are {', '.join(names)}")
    return names[name]


def whole(setting: str, value: Any, kind: Any = c.c_uint32, takes: str = "a whole number") -> int:
    """A whole number that `kind` has room for; ctypes would cut it without a word."""
    bits = 8 * c.sizeof(kind)
    low, high = (0, 2**bits - 1) if kind(-1).value > 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not isinstance(value, (numbers.Integral, np.bool_)):
        raise TypeError(f"{setting} is {value!r}; it takes {takes}")
    if not low <= int(value) <= high:
        raise ValueError(f"{setting} is {value!r}; it takes {low} to {high}")
    return int(value)


def flag(setting: str, value: Any) -> int:
    """True or False."""
    return whole(setting, value, takes="True or False")


def real(setting: str, value: Any) -> float:
    """A number."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{setting} is {value!r}; it takes a number")
    return float(value)


def string(setting: str, value: Any, takes: str = "a string") -> bytes:
    """A string as UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"{setting} is {value!r}; it takes {takes}")
    return value.encode()


def frame_size(value: Any) -> _abi.Size:
    """None or "auto", the shorter side, or (width, height)."""
    if value is None or isinstance(value, str) and value == "auto":
        return _abi.Size(0, 0)
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return _abi.Size(*(whole("size", side) for side in value))
    return _abi.Size(whole("size", value, takes="the shorter side, (width, height) or None"), 0)


def strings(setting: str, value: Any, kinds: Any = str) -> list[bytes]:
    """A list of strings, or one of them."""
    values = [value] if isinstance(value, kinds) else value
    values = list(values) if hasattr(values, "__iter__") and not isinstance(values, (str, bytes)) else [None]
    for one in values:
        if not isinstance(one, kinds):
            raise TypeError(f"{setting} is {value!r}; it takes a string or a list of strings")
    return [os.fsencode(one) for one in values]


def map_kind(map: Any) -> int:
    """The number of a kind of map."""
    if map is not None and not isinstance(map, str) or map not in _abi.MAPS:
        raise ValueError(f"map is {map!r}; there are {', '.join(repr(m) for m in _abi.MAPS)}")
    return _abi.MAPS[map]


def box(region: Any) -> list[int]:
    """x, y, width, height in pixels."""
    if not isinstance(region, (tuple, list)) or len(region) != 4:
        raise TypeError(f"region is {region!r}; it takes (x, y, width, height)")
    return [whole("region", side) for side in region]


# What a fit takes beside its settings.
_BESIDE = ("all", "context", "layout", "order", "progress", "take")


def fit_options(
    settings: Mapping[str, Any], layout: str | None = None, take: Take = (), all: bool = False
) -> _abi.FitOptions:
    """Settings of a fit, and how a folder is read."""
    options = _abi.FitOptions()
    call("fit_options_init", c.byref(options), c.sizeof(options))
    known = {**dict(_abi.FitOptions.settings()), "exclude": c.c_char_p}
    for name, value in settings.items():
        if name not in known:
            raise TypeError(f"no setting {name}; there are {', '.join(sorted([*known, *_BESIDE]))}")
        if name in _abi.NAMED:
            number: Any = named(name, value)
        elif name in _abi.FLAGS:
            number = flag(name, value)
        elif name == "size":
            number = frame_size(value)
        elif name in ("roi", "exclude"):
            number = os.fsencode(value)
        elif known[name] is c.c_double:
            number = real(name, value)
        else:
            number = whole(name, value, known[name])
        setattr(options, name, number)
    if "crop" in settings and "resize" not in settings:
        options.resize = options.crop * 8 // 7
    if {"crop", "resize"} & set(settings) and "geometry" not in settings:
        options.geometry = _abi.NAMED["geometry"]["paper"]
    if layout is not None:
        options.layout = string("layout", layout)
    options.take = b"\n".join(strings("take", take, (str, bytes, os.PathLike))) or None
    options.all = flag("all", all)
    return options
