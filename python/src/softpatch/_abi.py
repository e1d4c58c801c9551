"""What include/softpatch.h declares, as ctypes has it: codes, names with their numbers, structs."""

from __future__ import annotations

import ctypes as c
from typing import Any

ABI_VERSION = 2
INVALID_HANDLE = 2
BUFFER_TOO_SMALL = 4
CANCELLED = 13
BUSY = 14
PENDING = 15
EMPTY = 16
CHOICE = 18
FORKED = 19
# Formats of pixels, as softpatch.h describes them.
FORMATS = {
    "gray8": 0,
    "gray16": 1,
    "rgb8": 2,
    "bgr8": 3,
    "rgba8": 4,
    "bgra8": 5,
    "gray10": 6,
    "gray12": 7,
    "gray14": 8,
    "mono10_packed": 9,
    "mono12_packed": 10,
    "mono10p": 11,
    "mono12p": 12,
    "rgb16": 13,
    "bgr16": 14,
    "rgba16": 15,
    "bgra16": 16,
    "bayer_rg8": 17,
    "bayer_gr8": 18,
    "bayer_gb8": 19,
    "bayer_bg8": 20,
}
ORDERS = ("rgb", "bgr", "bayer_rg", "bayer_gr", "bayer_gb", "bayer_bg")
# Settings of a fit that have names.
NAMED = {
    "discriminator": {"lof": 0, "nearest": 1, "gaussian": 2, "none": 3, "auto": 4},
    "group": {"position": 0, "window": 1, "global": 2},
    "embedding": {"auto": 0, "concat": 1, "pooled": 2},
    "compat": {"none": 0, "official": 1},
    "precision": {"f32": 0, "f16": 1},
    "geometry": {"whole": 0, "paper": 1},
    "fit_aspect": {"stretch": 0, "pad": 1, "crop": 2},
}
# Those that are on or off.
FLAGS = ("soft_weights", "exif")
STAGES = ("features", "denoise", "coreset", "calibrate", "score", "floors", "distances")
MAPS: dict[str | None, int] = {None: 0, "grid": 1, "frame": 2, "source": 3}


class ContextOptions(c.Structure):
    """softpatch_context_options."""

    _fields_ = [
        ("struct_size", c.c_size_t),
        ("adapter_name", c.c_char_p),
        ("adapter_index", c.c_int32),
        ("power", c.c_uint32),
        ("memory_budget", c.c_uint64),
        ("weights_path", c.c_char_p),
        ("architecture", c.c_char_p),
        ("layers", c.c_char_p),
        ("cache_folder", c.c_char_p),
        ("no_self_test", c.c_uint32),
        ("device_timeout_ms", c.c_uint64),
    ]


class Size(c.Structure):
    """softpatch_size."""

    _fields_ = [("width", c.c_uint32), ("height", c.c_uint32)]


class FitOptions(c.Structure):
    """softpatch_fit_options."""

    _fields_ = [
        ("struct_size", c.c_size_t),
        ("tau", c.c_double),
        ("coreset_ratio", c.c_double),
        ("seed", c.c_uint64),
        ("discriminator", c.c_uint32),
        ("lof_k", c.c_uint32),
        ("soft_weights", c.c_uint32),
        ("projection", c.c_uint32),
        ("resize", c.c_uint32),
        ("crop", c.c_uint32),
        ("batch", c.c_uint32),
        ("embedding", c.c_uint32),
        ("embedding_dim", c.c_uint32),
        ("compat", c.c_uint32),
        ("exif", c.c_uint32),
        ("precision", c.c_uint32),
        ("bits", c.c_uint32),
        ("all", c.c_uint32),
        ("black", c.c_double),
        ("white", c.c_double),
        ("layout", c.c_char_p),
        ("take", c.c_char_p),
        ("geometry", c.c_uint32),
        ("fit_aspect", c.c_uint32),
        ("size", Size),
        ("group", c.c_uint32),
        ("window", c.c_uint32),
        ("roi", c.c_char_p),
        ("target_fpr", c.c_double),
        ("exclude", c.c_char_p),
    ]

    @classmethod
    def settings(cls) -> list[tuple[str, Any]]:
        """All but what says how the struct and a folder are read, with their types."""
        left_out = ("struct_size", "layout", "take", "all", "exclude")
        return [(field[0], field[1]) for field in cls._fields_ if field[0] not in left_out]


class Image(c.Structure):
    """softpatch_image."""

    _fields_ = [
        ("pixels", c.c_void_p),
        ("size", c.c_size_t),
        ("stride", c.c_size_t),
        ("width", c.c_uint32),
        ("height", c.c_uint32),
        ("format", c.c_uint32),
        ("reserved", c.c_uint32),
    ]


class Result(c.Structure):
    """softpatch_result."""

    _fields_ = [
        ("ticket", c.c_uint64),
        ("latency_ns", c.c_uint64),
        ("score", c.c_float),
        ("verdict", c.c_int32),
        ("map_width", c.c_uint32),
        ("map_height", c.c_uint32),
    ]


class Region(c.Structure):
    """softpatch_region."""

    _fields_ = [
        ("x", c.c_uint32),
        ("y", c.c_uint32),
        ("width", c.c_uint32),
        ("height", c.c_uint32),
        ("area", c.c_uint32),
        ("peak", c.c_float),
        ("peak_x", c.c_uint32),
        ("peak_y", c.c_uint32),
        ("first_point", c.c_uint32),
        ("point_count", c.c_uint32),
    ]


class Adapter(c.Structure):
    """softpatch_adapter."""

    _fields_ = [
        ("index", c.c_uint32),
        ("name", c.c_char * 256),
        ("driver", c.c_char * 256),
        ("backend", c.c_char * 16),
        ("kind", c.c_char * 16),
    ]
