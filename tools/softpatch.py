"""softpatch for Python: the shared library through ctypes, NumPy arrays in and out.

    import softpatch
    context = softpatch.Context()
    detector = context.fit([image, ...], size=256)       # or context.fit("folder"), context.load("model")
    score = detector.score(image, map="source")           # score.score, score.anomalous, score.peak, score.map
    for region in detector.regions(score.map): ...        # region.bbox, region.area, region.contour, ...
    detector.explain(image)["places"]                     # what the worst patches were compared with
    context.calibrate("model", "good parts", 0.01)        # thresholds for a wanted rate; context.audit, allow, deny, undo, ...
    with detector.stream(limit=4) as stream:
        for score in stream.scores(frames): ...

An image is an array [height, width] (grey) or [height, width, 3 or 4] of uint8 or uint16, or what np.asarray makes one of,
such as PIL.Image.open("a.png"); `order="bgr"` for OpenCV's.
`bits=10`, 12 or 14 for arrays of uint16 with as many significant bits, the lower ones; `order="bayer_rg"`, "bayer_gr",
"bayer_gb" or "bayer_bg" for a Bayer mosaic [height, width] of uint8 whose first row begins with these colours. Rows may have
gaps (slices work); other layouts are copied. The library is found through the environment variable SOFTPATCH_LIBRARY, next to
this file, or where the system looks. Calls release the GIL.

After its first call the library works in that process alone: os.fork() and multiprocessing's "fork" leave the driver's threads
behind, and calls in the child raise ForkedError. Call multiprocessing.set_start_method("spawn") before making workers.
"""

import ctypes as c
import ctypes.util
import json
import logging
import numbers
import os
import sys
from pathlib import Path

import numpy as np

# What a fit has to say: images left out, significant bits, ...
_log = logging.getLogger("softpatch")

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
MAPS = {None: 0, "grid": 1, "frame": 2, "source": 3}
ABI_VERSION = 2


class _ContextOptions(c.Structure):
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


class _Size(c.Structure):
    _fields_ = [("width", c.c_uint32), ("height", c.c_uint32)]


class _FitOptions(c.Structure):
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
        ("size", _Size),
        ("group", c.c_uint32),
        ("window", c.c_uint32),
        ("roi", c.c_char_p),
        ("target_fpr", c.c_double),
        ("exclude", c.c_char_p),
    ]


class _Image(c.Structure):
    _fields_ = [
        ("pixels", c.c_void_p),
        ("size", c.c_size_t),
        ("stride", c.c_size_t),
        ("width", c.c_uint32),
        ("height", c.c_uint32),
        ("format", c.c_uint32),
        ("reserved", c.c_uint32),
    ]


class _Result(c.Structure):
    _fields_ = [
        ("ticket", c.c_uint64),
        ("latency_ns", c.c_uint64),
        ("score", c.c_float),
        ("verdict", c.c_int32),
        ("map_width", c.c_uint32),
        ("map_height", c.c_uint32),
    ]


class _Region(c.Structure):
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


class _Adapter(c.Structure):
    _fields_ = [
        ("index", c.c_uint32),
        ("name", c.c_char * 256),
        ("driver", c.c_char * 256),
        ("backend", c.c_char * 16),
        ("kind", c.c_char * 16),
    ]


_Progress = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_uint32, c.c_uint64, c.c_uint64)
_Floats = c.POINTER(c.c_float)


class SoftpatchError(Exception):
    """A call failed; `code` is one of the SOFTPATCH_* codes of softpatch.h."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code

    def __reduce__(self):
        # Workers send their errors to the process that waits for them.
        return type(self), (self.code, str(self))


class Cancelled(SoftpatchError):
    """The progress callback returned False."""


class ChoiceError(SoftpatchError):
    """Nothing says which images of the folder are good: give `layout`, `take` or `all` to Context.fit."""


class ForkedError(SoftpatchError):
    """The process was forked from one that had used softpatch: make workers by multiprocessing's "spawn"."""


_KINDS = {CANCELLED: Cancelled, CHOICE: ChoiceError, FORKED: ForkedError}


def _open(path):
    """The library as it is, from a path or by a name that the system looks for."""
    told = "set SOFTPATCH_LIBRARY to the library's path; packaging/install.sh PREFIX builds and installs it in PREFIX/lib"
    try:
        return c.CDLL(path)
    except OSError as error:
        raise ImportError(f"softpatch's library cannot be loaded ({error}): {told}") from None


def _load():
    name = {"win32": "softpatch.dll", "darwin": "libsoftpatch.dylib"}.get(sys.platform, "libsoftpatch.so")
    beside = Path(__file__).with_name(name)
    path = os.environ.get("SOFTPATCH_LIBRARY") or (str(beside) if beside.exists() else None)
    path = path or ctypes.util.find_library("softpatch") or name
    library = _open(path)
    handle, status, out = c.c_uint64, c.c_int32, c.POINTER
    image, result, size = out(_Image), out(_Result), c.c_size_t
    text, made = [c.c_char_p, size, out(size)], out(handle)
    file, options, watched = c.c_char_p, out(_FitOptions), [_Progress, c.c_void_p]
    areas = [out(_Region), size, out(size), out(c.c_uint32), size, out(size)]
    signatures = {
        "last_error_message": (c.c_char_p, []),
        "version": (c.c_char_p, []),
        "abi_version": (c.c_uint32, []),
        "adapter_list": (status, [out(_Adapter), size, out(size)]),
        "context_options_init": (status, [out(_ContextOptions), size]),
        "context_create": (status, [out(_ContextOptions), out(handle)]),
        "context_free": (status, [handle]),
        "context_info_json": (status, [handle, *text]),
        "fit_options_init": (status, [out(_FitOptions), size]),
        "fit_folder": (status, [handle, c.c_char_p, out(_FitOptions), _Progress, c.c_void_p, out(handle)]),
        "fit_images": (status, [handle, image, size, out(_FitOptions), _Progress, c.c_void_p, out(handle)]),
        "detector_save": (status, [handle, c.c_char_p]),
        "detector_to_bytes": (status, [handle, c.c_char_p, size, out(size)]),
        "detector_load": (status, [handle, c.c_char_p, out(handle)]),
        "detector_load_bytes": (status, [handle, c.c_char_p, size, out(handle)]),
        "detector_free": (status, [handle]),
        "detector_info_json": (status, [handle, *text]),
        "detector_calibrated": (status, [handle, c.c_float, _Floats]),
        "detector_explain": (status, [handle, file, image, c.c_uint32, c.c_uint32, file, made]),
        "detector_verify": (status, [handle, made]),
        "audit": (status, [handle, file, options, *watched, made]),
        "model_calibrate": (status, [handle, file, file, options, file, *watched, made]),
        "model_keep_references": (status, [handle, file, file, options, file, made]),
        "model_forget_references": (status, [file, file, made]),
        "model_info_json": (status, [file, made]),
        "model_history_json": (status, [file, made]),
        "model_remove_image": (status, [file, file, file, made]),
        "model_undo": (status, [file, file, made]),
        "model_allow": (status, [handle, file, file, image, out(c.c_uint32), file, made]),
        "model_deny": (status, [handle, file, file, image, out(c.c_uint32), c.c_double, file, made]),
        "text_copy": (status, [handle, *text]),
        "text_free": (status, [handle]),
        "map_size": (status, [handle, c.c_uint32, c.c_uint32, c.c_uint32, out(c.c_uint32), out(c.c_uint32)]),
        "peak": (status, [handle, c.c_uint32, _Floats, size, c.c_uint32, c.c_uint32, out(c.c_uint32), out(c.c_uint32)]),
        "regions": (status, [handle, _Floats, size, c.c_uint32, c.c_uint32, c.c_float, *areas]),
        "score_batch": (status, [handle, image, size, c.c_uint32, out(_Floats), out(size), result]),
        "stream_create": (status, [handle, size, out(handle)]),
        "stream_submit": (status, [handle, image, out(c.c_uint64)]),
        "stream_wait": (status, [handle, c.c_uint64, c.c_uint32, _Floats, size, result]),
        "stream_in_flight": (status, [handle, out(size)]),
        "stream_free": (status, [handle]),
    }
    for name, (returns, takes) in signatures.items():
        function = getattr(library, f"softpatch_{name}", None)
        if function is None:
            raise ImportError(f"{path}: has no softpatch_{name}; it is not softpatch's library, or not that of this module")
        function.restype, function.argtypes = returns, takes
    if library.softpatch_abi_version() != ABI_VERSION:
        raise ImportError(f"{path}: interface {library.softpatch_abi_version()}, this module is for {ABI_VERSION}")
    return library


_library = _load()
version = _library.softpatch_version().decode()


def _call(name, *arguments):
    status = getattr(_library, f"softpatch_{name}")(*arguments)
    if status:
        text = _library.softpatch_last_error_message().decode()
        if status == FORKED:
            text += '. In Python: multiprocessing.set_start_method("spawn") before the first worker'
        raise _KINDS.get(status, SoftpatchError)(status, text)


def _text(name, handle):
    size = c.c_size_t()
    _call(name, handle, None, 0, c.byref(size))
    buffer = c.create_string_buffer(size.value)
    _call(name, handle, buffer, size, None)
    return json.loads(buffer.value.decode())


def _made(name, *arguments):
    """What a call gives as a text."""
    made = c.c_uint64()
    _call(name, *arguments, c.byref(made))
    try:
        return _text("text_copy", made)
    finally:
        _library.softpatch_text_free(made)


def _optional_path(path):
    return None if path is None else os.fsencode(path)


def _named(setting, name):
    if not isinstance(name, str) or name not in NAMED[setting]:
        raise ValueError(f"{setting} is {name!r}; there are {', '.join(NAMED[setting])}")
    return NAMED[setting][name]


def _whole(setting, value, kind=c.c_uint32, takes="a whole number"):
    """A whole number that `kind` has room for; ctypes would cut it without a word."""
    bits = 8 * c.sizeof(kind)
    low, high = (0, 2**bits - 1) if kind(-1).value > 0 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not isinstance(value, (numbers.Integral, np.bool_)):
        raise TypeError(f"{setting} is {value!r}; it takes {takes}")
    if not low <= int(value) <= high:
        raise ValueError(f"{setting} is {value!r}; it takes {low} to {high}")
    return int(value)


def _flag(setting, value):
    return _whole(setting, value, takes="True or False")


def _real(setting, value):
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{setting} is {value!r}; it takes a number")
    return float(value)


def _string(setting, value, takes="a string"):
    if not isinstance(value, str):
        raise TypeError(f"{setting} is {value!r}; it takes {takes}")
    return value.encode()


def _size(value):
    """None or "auto", the shorter side, or (width, height)."""
    if value is None or isinstance(value, str) and value == "auto":
        return _Size(0, 0)
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return _Size(*(_whole("size", side) for side in value))
    return _Size(_whole("size", value, takes="the shorter side, (width, height) or None"), 0)


def _strings(setting, value, kinds=str):
    """A list of strings, or one of them."""
    values = [value] if isinstance(value, kinds) else value
    values = list(values) if hasattr(values, "__iter__") and not isinstance(values, (str, bytes)) else [None]
    for one in values:
        if not isinstance(one, kinds):
            raise TypeError(f"{setting} is {value!r}; it takes a string or a list of strings")
    return [os.fsencode(one) for one in values]


def _map_kind(map):
    if map is not None and not isinstance(map, str) or map not in MAPS:
        raise ValueError(f"map is {map!r}; there are {', '.join(repr(m) for m in MAPS)}")
    return MAPS[map]


def model_info(model):
    """All that a model file says of itself, as `softpatch model MODEL info --json` prints it; no device is needed."""
    return _made("model_info_json", os.fsencode(model))


def history(model):
    """The edits of a model file, the first one first: dictionaries with what, image, seconds, removed, added, made_by,
    fingerprint."""
    return _made("model_history_json", os.fsencode(model))


def forget_references(model, output=None):
    """Leaves the pictures of `Context.keep_references` out of a model file; the rest as in `remove_image`."""
    return _made("model_forget_references", os.fsencode(model), _optional_path(output))


def remove_image(model, name, output=None):
    """Takes what was learned from a training image out of a model file: its name in `model_info(model)["images"]`, or the
    end of its path where only one ends so. Like every edit it is written to `output`, whole or not at all, or into the
    model's own file; thresholds stay, detectors that have it loaded are as they were, and `undo` takes it back. A
    dictionary with model (the file written), rows (of the memory bank) and edit."""
    return _made("model_remove_image", os.fsencode(model), os.fsencode(name), _optional_path(output))


def undo(model, output=None):
    """Takes the last edit of a model file back, bit by bit; `edit` of the answer is what was taken back."""
    return _made("model_undo", os.fsencode(model), _optional_path(output))


def adapters():
    """The usable adapters, the fastest kind first, as dictionaries."""
    count = c.c_size_t()
    _call("adapter_list", None, 0, c.byref(count))
    found = (_Adapter * count.value)()
    if count.value:
        _call("adapter_list", found, count, c.byref(count))
    names = ("name", "driver", "backend", "kind")
    return [{"index": a.index, **{n: getattr(a, n).decode(errors="replace") for n in names}} for a in found]


class Frame:
    """Pixels in any of FORMATS, wherever an image is wanted: Frame(buffer, 640, 480, "mono12_packed"). `pixels` is anything
    with the buffer protocol; rows begin `stride` bytes apart, 0 for no gaps."""

    def __init__(self, pixels, width, height, format, stride=0):
        if not isinstance(format, str) or format not in FORMATS:
            raise ValueError(f"format is {format!r}; there are {', '.join(FORMATS)}")
        self._pixels = np.frombuffer(pixels, np.uint8)
        width, height = _whole("width", width), _whole("height", height)
        stride = _whole("stride", stride, c.c_size_t)
        self._image = (self._pixels.size, stride, width, height, FORMATS[format], 0)


def _narrowed(array, bits):
    """8 bit of arrays of uint16 that no format stands for, as the library scales those that it knows."""
    most = (1 << bits) - 1
    if not 8 <= bits < 16:
        raise ValueError(f"bits is {bits}; arrays of uint16 have 8 to 16")
    if array.size and array.max() > most:
        raise ValueError(f"a value is {array.max()}, {bits} bits have values up to {most}; give the camera's bits")
    return ((array.astype(np.uint32) * 255 + most // 2) // most).astype(np.uint8)


_IMAGE = "an image is an array [height, width] or [height, width, 3 or 4] of uint8 or uint16"
_READ = "read a file by np.asarray(PIL.Image.open(path)), or give PIL.Image.open(path) itself"
# Modes of Pillow whose arrays are pictures; those of others have numbers of colours, inks or single bits.
_MODES = ("L", "RGB", "RGBA", "RGBX", "I;16", "I;16L", "I;16B", "I;16N")


def _pillow(image):
    """Whether it is an image of Pillow, which need not be installed."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def _single(images):
    """Whether it is one image, or meant as one, rather than several: lists, and arrays of four axes."""
    if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike)) or not hasattr(images, "__iter__"):
        return True
    array = any(hasattr(type(images), name) for name in ("__array__", "__array_interface__"))
    return array and len(getattr(images, "shape", ())) < 4


def _several(images, what):
    """Images one after the other; where they have to be several, three axes may be those of grey ones."""
    shape = getattr(images, "shape", ())
    grey = hasattr(images, "__iter__") and len(shape) == 3 and shape[-1] > 4
    if _single(images) and not grey:
        kind = f"an array {tuple(shape)}" if shape else _called(images)
        raise TypeError(f"{what} is {kind}; it takes a list of images; {_READ}")
    return images


def _called(image):
    return repr(image) if image is None or isinstance(image, (str, os.PathLike)) else f"of type {type(image).__name__}"


def _array(image, what):
    """What NumPy makes of an image, which errors call `what`."""
    if image is None:
        raise TypeError(f"{what} is None, which cv2.imread gives for a file that is missing or that it cannot read; {_IMAGE}")
    if isinstance(image, (str, bytes, bytearray, os.PathLike)):
        raise TypeError(f"{what} is {_called(image)}; {_IMAGE}; {_READ}")
    if _pillow(image) and image.mode not in _MODES:
        deep = image.mode[0] in "IF"
        told = "bring its array to uint8 or uint16" if deep else 'convert it: image.convert("RGB")'
        raise ValueError(f"{what} is of Pillow's mode {image.mode!r}; {told}")
    try:
        array = np.asarray(image)
    except Exception as error:
        raise ValueError(f"{what} cannot be read as an array: {error}") from error
    if array.ndim == 0:
        raise TypeError(f"{what} is {_called(image)}; {_IMAGE}; {_READ}")
    return array


def _view(image, order, bits, what="the image"):
    """The image and the array that owns its pixels, which must outlive it. `bits` are those of uint16; 0: all."""
    if isinstance(image, Frame):
        return _Image(image._pixels.ctypes.data, *image._image), image._pixels
    array = _array(image, what)
    colours = {2: "gray", 3: {3: "", 4: "a"}.get(array.shape[-1])}.get(array.ndim)
    if colours is None or array.dtype.name not in ("uint8", "uint16"):
        raise ValueError(f"{what} is {array.shape} of {array.dtype}; {_IMAGE}")
    if order == "bgr" and _pillow(image):
        order = "rgb"  # whatever the order of the others
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; there are {', '.join(ORDERS)}")
    if order.startswith("bayer") and (colours, array.itemsize) != ("gray", 1):
        raise ValueError(f"a Bayer mosaic is an array [h, w] of uint8; not {array.shape} of {array.dtype}")
    depth = 8 * array.itemsize
    if depth == 16 and bits not in (0, 16):
        if colours == "gray" and bits in (10, 12, 14):
            depth = bits
        else:
            array, depth = _narrowed(array, bits), 8
    kind = f"gray{depth}" if colours == "gray" else f"{order}{colours}{depth}"
    if order.startswith("bayer"):
        kind = f"{order}8"
    height, width = array.shape[:2]
    pixel = array.itemsize * (array.shape[2] if array.ndim == 3 else 1)
    row = width * pixel
    inner = array.strides[1:] == ((pixel, array.itemsize) if array.ndim == 3 else (pixel,))
    if not inner or array.strides[0] < row or array.dtype.byteorder not in "=|":
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    stride = max(array.strides[0], row)
    size = stride * (height - 1) + row if height else 0
    return _Image(array.ctypes.data, size, stride, width, height, FORMATS[kind], 0), array


def _options(settings, layout=None, take=(), all=False):
    """Settings of a fit, and how a folder is read."""
    options = _FitOptions()
    _call("fit_options_init", c.byref(options), c.sizeof(options))
    known = dict(_FitOptions._fields_[1:])
    for name, value in settings.items():
        if name not in known:
            raise TypeError(f"no setting {name}; there are {', '.join(sorted([*known, 'order', 'progress']))}")
        if name in NAMED:
            number = _named(name, value)
        elif name in FLAGS:
            number = _flag(name, value)
        elif name == "size":
            number = _size(value)
        elif name in ("roi", "exclude"):
            number = os.fsencode(value)
        elif known[name] is c.c_double:
            number = _real(name, value)
        else:
            number = _whole(name, value, known[name])
        setattr(options, name, number)
    if "crop" in settings and "resize" not in settings:
        options.resize = options.crop * 8 // 7
    if {"crop", "resize"} & set(settings) and "geometry" not in settings:
        options.geometry = NAMED["geometry"]["paper"]
    if layout is not None:
        options.layout = _string("layout", layout)
    options.take = b"\n".join(_strings("take", take, (str, bytes, os.PathLike))) or None
    options.all = _flag("all", all)
    return options


class _Watched:
    """A progress function as C calls it, for the length of a call; what it raises comes out of that."""

    def __init__(self, progress):
        if progress is not None and not callable(progress):
            raise TypeError(f"progress is {progress!r}; it takes a function (stage, done, total)")
        self._thrown = []

        def watch(_, stage, done, total):
            try:
                return int(progress(STAGES[stage], done, total) is False)
            except BaseException as error:  # passed on below: it may not cross the border
                self._thrown.append(error)
                return 1

        self._callback = _Progress(watch) if progress else _Progress()

    def __enter__(self):
        return self._callback

    def __exit__(self, kind, *_):
        if kind is Cancelled and self._thrown:
            raise self._thrown[0] from None


class Score:
    """`score`, `anomalous` (None without a threshold), `peak` (column and row of the image where it looks most wrong), `map`
    (array or None), `ticket`, `latency` in seconds."""

    def __init__(self, result, peak, map):
        self.score, self.peak, self.map, self.ticket = result.score, peak, map, result.ticket
        self.anomalous = None if result.verdict < 0 else bool(result.verdict)
        self.latency = result.latency_ns * 1e-9

    def __repr__(self):
        return f"Score(score={self.score}, anomalous={self.anomalous}, peak={self.peak})"


class Region:
    """A connected area of a map: `bbox` (x, y, width, height), `area` in pixels, `peak` (its largest value), `peak_at` (x, y),
    `contour` (array [corners, 2] of x, y: its outer boundary along the edges of pixels, clockwise)."""

    def __init__(self, region, points):
        self.bbox, self.area = (region.x, region.y, region.width, region.height), region.area
        self.peak, self.peak_at = region.peak, (region.peak_x, region.peak_y)
        self.contour = points[region.first_point : region.first_point + region.point_count]

    def __repr__(self):
        return f"Region(bbox={self.bbox}, area={self.area}, peak={self.peak}, peak_at={self.peak_at})"


class _Owner:
    _free = None
    _id = 0

    def close(self):
        """Frees it; using it afterwards raises SoftpatchError."""
        if self._id:
            # In a forked process nothing is freed, and nothing is said of it.
            getattr(_library, self._free)(self._id)
            self._id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()


class Context(_Owner):
    """A device with a backbone and a memory budget. `weights` names a file; `architecture` and `layers` (a list of names) say
    what its contents do not tell. `cache_folder` is where a device remembers what passed its self-test."""

    _free = "softpatch_context_free"

    def __init__(
        self,
        adapter=None,
        low_power=False,
        memory_budget=None,
        weights=None,
        architecture=None,
        layers=None,
        cache_folder=None,
        self_test=True,
        device_timeout=None,
    ):
        options = _ContextOptions()
        _call("context_options_init", c.byref(options), c.sizeof(options))
        if isinstance(adapter, numbers.Integral):
            options.adapter_index = _whole("adapter", adapter, c.c_int32)
        elif adapter is not None:
            options.adapter_name = _string("adapter", adapter, "a number or a part of a name")
        options.power = _flag("low_power", low_power)
        if memory_budget is not None:
            options.memory_budget = _whole("memory_budget", memory_budget, c.c_uint64, "a number of bytes")
        if weights is not None:
            options.weights_path = os.fsencode(weights)
        if architecture is not None:
            options.architecture = _string("architecture", architecture)
        if layers is not None:
            options.layers = b",".join(_strings("layers", layers))
        if cache_folder is not None:
            options.cache_folder = os.fsencode(cache_folder)
        options.no_self_test = int(not self_test)
        if device_timeout is not None:
            milliseconds = round(1000 * device_timeout)
            options.device_timeout_ms = _whole("device_timeout", milliseconds, c.c_uint64, "a number of seconds")
        made = c.c_uint64()
        _call("context_create", c.byref(options), c.byref(made))
        self._id = made.value

    @property
    def info(self):
        return _text("context_info_json", self._id)

    def fit(self, images, progress=None, order="rgb", layout=None, take=(), all=False, **settings):
        """Fits on a folder or on a list of images. `progress(stage, done, total)` cancels by returning False; settings are
        those of softpatch_fit_options.

        Of a folder: `layout` names its layout, None recognises it; `take` lists the folders whose images are good, by name
        or by path below it, where their names do not say so; `all` takes all images, whatever the folders are called. Where
        nothing says which images are good, ChoiceError says what is there. `exclude` is a file that lists images to leave
        out, one a line, or a CSV with the column path."""
        options = _options(settings, layout, take, all)
        made = c.c_uint64()
        with _Watched(progress) as callback:
            if isinstance(images, (str, os.PathLike)):
                path = os.fsencode(images)
                _call("fit_folder", self._id, path, c.byref(options), callback, None, c.byref(made))
            else:
                several = enumerate(_several(images, "images"))
                views = [_view(image, order, options.bits, f"images[{i}]") for i, image in several]
                array = (_Image * len(views))(*(v for v, _ in views))
                _call("fit_images", self._id, array, len(views), c.byref(options), callback, None, c.byref(made))
        detector = Detector(made.value)
        for note in detector.info.get("notes", ()):
            _log.warning("%s", note)
        return detector

    def load(self, model):
        """A model from a path or from bytes."""
        made = c.c_uint64()
        if isinstance(model, (bytes, bytearray)):
            _call("detector_load_bytes", self._id, bytes(model), len(model), c.byref(made))
        else:
            _call("detector_load", self._id, os.fsencode(model), c.byref(made))
        return Detector(made.value)


    def audit(self, folder, progress=None, layout=None, take=(), all=False, **settings):
        """Which training images of a folder look contaminated, as `fit` with the same arguments would judge them; no model is
        made. The dictionary that `softpatch audit --json` prints: `images`, the most suspicious first, each with name,
        suspicion, suspect, dropped, peak, regions; `contaminated` (an estimate); `notes`."""
        options = _options(settings, layout, take, all)
        with _Watched(progress) as callback:
            return _made("audit", self._id, os.fsencode(folder), c.byref(options), callback, None)

    def calibrate(self, model, folder, target_fpr=None, output=None, progress=None, layout=None, take=(), all=False):
        """Sets the thresholds of a model file for a false-alarm rate, from good images that it was not fitted on: a folder of
        them, or a labelled set. None for `target_fpr`: the rate that the model was fitted for, else 0.05. It is written to
        `output`, whole or not at all, or into the model's own file, and `undo` takes it back. The dictionary that
        `softpatch calibrate --json` prints: threshold, pixel_threshold, calibration, at_threshold, ...; `notes`."""
        settings = {} if target_fpr is None else {"target_fpr": target_fpr}
        options = _options(settings, layout, take, all)
        paths = os.fsencode(model), os.fsencode(folder)
        with _Watched(progress) as callback:
            return _made("model_calibrate", self._id, *paths, c.byref(options), _optional_path(output), callback, None)

    def keep_references(self, model, folder, output=None, layout=None, take=(), all=False):
        """Keeps up to 8 images of a folder in a model file with their scores on this device, for `Detector.verify`: of the
        training images that the model knows, else of the others."""
        options, paths = _options({}, layout, take, all), (os.fsencode(model), os.fsencode(folder))
        return _made("model_keep_references", self._id, *paths, c.byref(options), _optional_path(output))

    def allow(self, model, image, name=None, region=None, output=None, order="rgb", bits=None):
        """Takes a false alarm for normal: the patches of an image that pass the threshold, or that `region` (x, y, width,
        height in its pixels) touches, become rows of the model file's memory bank. `image` is a path or, with a `name`, what
        `score` takes. As `remove_image`; the dictionary has also the image's scores before and after, was_anomalous,
        anomalous, peak, rows_of, threshold."""
        given, _owner = self._picture(model, image, name, region, order, bits)
        return _made("model_allow", *given, _optional_path(output))

    def deny(self, model, image, name=None, region=None, at_most=None, output=None, order="rgb", bits=None):
        """Finds a defect that was missed: the rows of the memory bank that excuse it are taken out, of `region` or of what
        scores highest. At most the share `at_most` of the bank goes (None: 0.02); where it takes more, nothing is changed.
        The rest as in `allow`; rows_of are the training images that rows were taken from, [name, rows]."""
        share = 0.0 if at_most is None else _real("at_most", at_most)
        if at_most is not None and not 0 < share < 1:
            raise ValueError(f"at_most is {at_most!r}; it must lie between 0 and 1")
        given, _owner = self._picture(model, image, name, region, order, bits)
        return _made("model_deny", *given, share, _optional_path(output))

    def _picture(self, model, image, name, region, order, bits):
        """What the edits by an image are given, and the owner of its pixels."""
        if region is not None:
            region = (c.c_uint32 * 4)(*_box(region))
        if isinstance(image, (str, os.PathLike)):
            if name is not None:
                raise TypeError("name goes with an image in memory; that of a file is its path")
            return (self._id, os.fsencode(model), os.fsencode(image), None, region), None
        if name is None:
            raise TypeError("name is None; an image in memory needs one, under which the model knows it")
        bits = model_info(model)["options"].get("bits", 0) if bits is None else _whole("bits", bits)
        view, owner = _view(image, order, bits)
        return (self._id, os.fsencode(model), _string("name", name), c.byref(view), region), (view, owner)


def _box(region):
    if not isinstance(region, (tuple, list)) or len(region) != 4:
        raise TypeError(f"region is {region!r}; it takes (x, y, width, height)")
    return [_whole("region", side) for side in region]


class Detector(_Owner):
    """A fitted model on a device."""

    _free = "softpatch_detector_free"
    _model_bits = None

    def __init__(self, id):
        self._id = id

    @property
    def info(self):
        return _text("detector_info_json", self._id)

    def save(self, path):
        _call("detector_save", self._id, os.fsencode(path))

    def to_bytes(self):
        size = c.c_size_t()
        _call("detector_to_bytes", self._id, None, 0, c.byref(size))
        buffer = c.create_string_buffer(size.value)
        _call("detector_to_bytes", self._id, buffer, size, None)
        return buffer.raw

    def _map(self, kind, width, height):
        w, h = c.c_uint32(), c.c_uint32()
        _call("map_size", self._id, kind, width, height, c.byref(w), c.byref(h))
        return np.empty((h.value, w.value), np.float32)

    def _peak(self, kind, map, width, height):
        x, y = c.c_uint32(), c.c_uint32()
        _call("peak", self._id, kind, map.ctypes.data_as(_Floats), map.size, width, height, c.byref(x), c.byref(y))
        return x.value, y.value

    def regions(self, map, threshold=None):
        """The connected areas of a map [height, width] above `threshold`, the largest first; None is the model's pixel
        threshold, or that of scores where it has none."""
        map = np.ascontiguousarray(map, np.float32)
        if map.ndim != 2:
            raise ValueError(f"map has {map.ndim} axes; it takes [height, width], as score(..., map='source') has it")
        threshold = float("nan") if threshold is None else _real("threshold", threshold)
        height, width = map.shape
        given = (self._id, map.ctypes.data_as(_Floats), map.size, width, height, threshold)
        count, corners = c.c_size_t(), c.c_size_t()
        _call("regions", *given, None, 0, c.byref(count), None, 0, c.byref(corners))
        if not count.value:
            return []
        regions, points = (_Region * count.value)(), np.empty((corners.value, 2), np.uint32)
        to = points.ctypes.data_as(c.POINTER(c.c_uint32))
        _call("regions", *given, regions, count, c.byref(count), to, corners, c.byref(corners))
        return [Region(region, points) for region in regions]

    def _bits(self, bits):
        """Those that the model was fitted with, unless others are given."""
        if bits is None and self._model_bits is None:
            self._model_bits = self.info["options"].get("bits", 0)
        return self._model_bits if bits is None else _whole("bits", bits)

    def score(self, images, map=None, order="rgb", bits=None):
        """Scores an image, or images in a list or an array of four axes. `map` is None, "grid", "frame" or "source"; `bits` of
        arrays of uint16 are those of the fit unless given."""
        # Without a map the peak comes from the patches.
        kind, bits = _map_kind(map) or MAPS["grid"], self._bits(bits)
        single = _single(images)
        if single:
            views = [_view(images, order, bits)]
        else:
            views = [_view(image, order, bits, f"images[{i}]") for i, image in enumerate(images)]
        count = len(views)
        maps = [self._map(kind, v.width, v.height) for v, _ in views]
        results = (_Result * count)()
        _call(
            "score_batch",
            self._id,
            (_Image * count)(*(v for v, _ in views)),
            count,
            kind,
            (_Floats * count)(*(m.ctypes.data_as(_Floats) for m in maps)),
            (c.c_size_t * count)(*(m.size for m in maps)),
            results,
        )
        peaks = [self._peak(kind, m, v.width, v.height) for m, (v, _) in zip(maps, views)]
        scores = [Score(r, p, None if map is None else m) for r, p, m in zip(results, peaks, maps)]
        return scores[0] if single else scores

    def calibrated(self, score):
        """The share of good parts that score lower, 0 to 1; None where the model has no scores of good images."""
        share = c.c_float()
        _call("detector_calibrated", self._id, _real("score", score), c.byref(share))
        return None if np.isnan(share.value) else share.value

    def explain(self, image, places=3, neighbours=3, images=None, order="rgb", bits=None):
        """Why an image, or the file at a path, has its score: the dictionary that `softpatch explain --json` prints. `places`,
        worst first, each with bbox, score and the `neighbours` (training patches) that it is nearest to; `over`, the patches
        above the threshold. `images` is a folder to look for the training images in."""
        counts = _whole("places", places), _whole("neighbours", neighbours)
        if isinstance(image, (str, os.PathLike)):
            return _made("detector_explain", self._id, os.fsencode(image), None, *counts, _optional_path(images))
        view, _owner = _view(image, order, self._bits(bits))
        return _made("detector_explain", self._id, None, c.byref(view), *counts, _optional_path(images))

    def verify(self):
        """Whether this is the model that was approved and scores here as it did then, by the images that it keeps
        (`Context.keep_references`): the dictionary that `softpatch verify --json` prints, with ok, largest_difference,
        verdict_flips, ..."""
        return _made("detector_verify", self._id)

    def stream(self, limit=4, map=None, order="rgb", bits=None):
        """Frames in flight, at most `limit`; the rest as in `score`."""
        return Stream(self, limit, map, order, bits)


class Stream(_Owner):
    """Frames in flight to a detector; results come in order."""

    _free = "softpatch_stream_free"

    def __init__(self, detector, limit, map, order, bits):
        self._detector, self._maps, self._order, self._sizes = detector, map is not None, order, {}
        self._bits = detector._bits(bits)
        self._kind = _map_kind(map) or MAPS["grid"]
        made = c.c_uint64()
        _call("stream_create", detector._id, _whole("limit", limit, c.c_size_t), c.byref(made))
        self._id = made.value
        self._next = 0

    def submit(self, frame):
        """The frame's ticket, or None where the stream is busy: it was not taken in."""
        return self._submit(frame, "the frame")

    def _submit(self, frame, what):
        view, owner = _view(frame, self._order, self._bits, what)
        ticket = c.c_uint64()
        try:
            _call("stream_submit", self._id, c.byref(view), c.byref(ticket))
        except SoftpatchError as error:
            if error.code == BUSY:
                return None
            raise
        del owner  # copied
        self._sizes[ticket.value] = (view.width, view.height)
        return ticket.value

    def wait(self, timeout=60.0):
        """The oldest frame's score; None where it is not done in time or no frame is in flight."""
        width, height = self._sizes.get(self._next, (1, 1))
        map, result = self._detector._map(self._kind, width, height), _Result()
        pointer, milliseconds = map.ctypes.data_as(_Floats), int(timeout * 1000)
        try:
            _call("stream_wait", self._id, milliseconds, self._kind, pointer, map.size, c.byref(result))
        except SoftpatchError as error:
            if error.code in (PENDING, EMPTY):
                return None
            self._taken()
            raise
        self._taken()
        peak = self._detector._peak(self._kind, map, width, height)
        return Score(result, peak, map if self._maps else None)

    def _taken(self):
        self._sizes.pop(self._next, None)
        self._next += 1

    def in_flight(self):
        count = c.c_size_t()
        _call("stream_in_flight", self._id, c.byref(count))
        return count.value

    def scores(self, frames):
        """Scores of all frames, in order, keeping the stream full. What is no image is an error that names the frame's
        number, from 0, once the frames before it have their scores."""
        frames = enumerate(_several(frames, "frames"))
        held, wrong = next(frames, None), None
        while held is not None or self.in_flight():
            while held is not None:
                number, frame = held
                try:
                    if self._submit(frame, f"frame {number}") is None:
                        break
                    held = next(frames, None)
                except (TypeError, ValueError) as error:
                    held, wrong = None, error
            # Where the first frame is wrong there is nothing to wait for.
            score = self.wait() if self.in_flight() else None
            if score is not None:
                yield score
        if wrong is not None:
            raise wrong
