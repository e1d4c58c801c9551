"""Images of Python as the library reads them: where they lie, without a copy wherever rows of pixels lie packed."""

from __future__ import annotations

import ctypes as c
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Union

import numpy as np
import numpy.typing as npt

from . import _abi
from ._arguments import whole

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Frame:
    """Pixels in any format of a camera, wherever an image is wanted.

    `pixels` is anything with the buffer protocol, and is not copied; `width` and `height` are in pixels, `format` is one of
    `softpatch.FORMATS`; rows begin `stride` bytes apart, 0 for no gaps.

    >>> packed = softpatch.Frame(bytes(96 * 96 * 3 // 2), 96, 96, "mono12_packed")
    >>> packed
    Frame(96 x 96, mono12_packed)
    """

    def __init__(self, pixels: Buffer, width: int, height: int, format: str, stride: int = 0) -> None:
        if not isinstance(format, str) or format not in _abi.FORMATS:
            raise ValueError(f"format is {format!r}; there are {', '.join(_abi.FORMATS)}")
        self.pixels = np.frombuffer(memoryview(pixels), np.uint8)
        self.width, self.height, self.format = whole("width", width), whole("height", height), format
        self.stride = whole("stride", stride, c.c_size_t)

    def __repr__(self) -> str:
        return f"Frame({self.width} x {self.height}, {self.format})"


class SupportsArray(Protocol):
    """An image of another library: NumPy makes an array of it."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any: ...


class SupportsArrayInterface(Protocol):
    """The same by NumPy's older protocol, as Pillow has it."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


class SupportsDLPack(Protocol):
    """A tensor in the memory of the CPU."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...


# [height, width] or [height, width, 3 or 4] of uint8 or uint16, or what NumPy makes such an array of.
ImageLike = Union[npt.NDArray[Any], Frame, SupportsArray, SupportsArrayInterface, SupportsDLPack]


class View(NamedTuple):
    """An image as C reads it, and the array that owns its pixels, which must outlive it."""

    image: _abi.Image
    owner: npt.NDArray[Any]


_IMAGE = "an image is an array [height, width] or [height, width, 3 or 4] of uint8 or uint16"
_READ = "read a file by np.asarray(PIL.Image.open(path)), or give PIL.Image.open(path) itself"
# Modes of Pillow whose arrays are pictures; those of others have numbers of colours, inks or single bits.
_MODES = ("L", "RGB", "RGBA", "RGBX", "I;16", "I;16L", "I;16B", "I;16N")
_ARRAYS = ("__array__", "__array_interface__", "__dlpack__")


def _narrowed(array: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """8 bit of arrays of uint16 that no format stands for, as the library scales those that it knows."""
    most = (1 << bits) - 1
    if not 8 <= bits < 16:
        raise ValueError(f"bits is {bits}; arrays of uint16 have 8 to 16")
    if array.size and array.max() > most:
        raise ValueError(f"a value is {array.max()}, {bits} bits have values up to {most}; give the camera's bits")
    return ((array.astype(np.uint32) * 255 + most // 2) // most).astype(np.uint8)


def _pillow(image: Any) -> bool:
    """Whether it is an image of Pillow, which need not be installed."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def single(images: Any) -> bool:
    """Whether it is one image, or meant as one, rather than several: lists, and arrays of four axes."""
    if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike)) or not hasattr(images, "__iter__"):
        return True
    array = any(hasattr(type(images), name) for name in _ARRAYS)
    return array and len(getattr(images, "shape", ())) < 4


def several(images: Any, what: str) -> Iterable[Any]:
    """Images one after the other; where they have to be several, three axes may be those of grey ones."""
    shape: Any = getattr(images, "shape", ())
    grey = hasattr(images, "__iter__") and len(shape) == 3 and shape[-1] > 4
    if single(images) and not grey:
        kind = f"an array {tuple(shape)}" if shape else _called(images)
        raise TypeError(f"{what} is {kind}; it takes a list of images; {_READ}")
    them: Iterable[Any] = images
    return them


def _called(image: Any) -> str:
    return repr(image) if image is None or isinstance(image, (str, os.PathLike)) else f"of type {type(image).__name__}"


def _array(image: Any, what: str) -> npt.NDArray[Any]:
    """What NumPy makes of an image, which errors call `what`."""
    if image is None:
        raise TypeError(
            f"{what} is None, which cv2.imread gives for a file that is missing or that it cannot read; {_IMAGE}"
        )
    if isinstance(image, (str, bytes, bytearray, os.PathLike)):
        raise TypeError(f"{what} is {_called(image)}; {_IMAGE}; {_READ}")
    if _pillow(image) and image.mode not in _MODES:
        deep = image.mode[0] in "IF"
        told = "bring its array to uint8 or uint16" if deep else 'convert it: image.convert("RGB")'
        raise ValueError(f"{what} is of Pillow's mode {image.mode!r}; {told}")
    try:
        tensor = hasattr(image, "__dlpack__") and not any(hasattr(image, name) for name in _ARRAYS[:2])
        array = np.from_dlpack(image) if tensor else np.asarray(image)
    except Exception as error:
        raise ValueError(f"{what} cannot be read as an array: {error}") from error
    if array.ndim == 0:
        raise TypeError(f"{what} is {_called(image)}; {_IMAGE}; {_READ}")
    return array


def _refused(array: npt.NDArray[Any], what: str) -> ValueError:
    told, shape = _IMAGE, tuple(array.shape)
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[-1] not in (3, 4):
        told += "; where colours come first, as in PyTorch, move them: image.permute(1, 2, 0)"
    return ValueError(f"{what} is {array.shape} of {array.dtype}; {told}")


def _format(array: npt.NDArray[Any], order: str, bits: int, what: str) -> tuple[npt.NDArray[Any], int]:
    """The array's format, and the array, narrowed where no format stands for its bits."""
    axes, itemsize = array.ndim, array.itemsize
    alpha = axes == 3 and array.shape[2] == 4
    if array.dtype.kind != "u" or itemsize > 2 or axes not in (2, 3) or axes == 3 and array.shape[2] not in (3, 4):
        raise _refused(array, what)
    if order not in _abi.ORDERS:
        raise ValueError(f"order is {order!r}; there are {', '.join(_abi.ORDERS)}")
    if order.startswith("bayer"):
        if (axes, itemsize) != (2, 1):
            raise ValueError(f"a Bayer mosaic is an array [h, w] of uint8; not {array.shape} of {array.dtype}")
        return array, _abi.FORMATS[f"{order}8"]
    depth = 8 * itemsize
    if depth == 16 and bits not in (0, 16):
        if axes == 2 and bits in (10, 12, 14):
            depth = bits
        else:
            array, depth = _narrowed(array, bits), 8
    return array, _abi.FORMATS[f"gray{depth}" if axes == 2 else f"{order}{'a' if alpha else ''}{depth}"]


def view(image: Any, order: str, bits: int, what: str = "the image") -> View:
    """An image where it lies, or a copy of it where its pixels do not lie packed in rows. `bits` are those of uint16; 0:
    all."""
    if isinstance(image, Frame):
        pixels = image.pixels
        kind = _abi.FORMATS[image.format]
        return View(_abi.Image(pixels.ctypes.data, pixels.size, image.stride, image.width, image.height, kind, 0), pixels)
    array = _array(image, what)
    if order == "bgr" and _pillow(image):
        order = "rgb"  # whatever the order of the others
    array, kind = _format(array, order, bits, what)
    height, width = array.shape[:2]
    pixel = array.itemsize * (array.shape[2] if array.ndim == 3 else 1)
    row = width * pixel
    packed = array.strides[1:] == ((pixel, array.itemsize) if array.ndim == 3 else (pixel,))
    if not packed or array.strides[0] < row or array.dtype.byteorder not in "=|":
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    stride = max(array.strides[0], row)
    size = stride * (height - 1) + row if height else 0
    return View(_abi.Image(array.ctypes.data, size, stride, width, height, kind, 0), array)


def picture(image: Any, order: str, bits: int) -> npt.NDArray[np.uint8] | None:
    """A picture to look at, [height, width, 3] of red, green, blue; None of formats that only the library reads."""
    if isinstance(image, Frame) or order.startswith("bayer"):
        return None
    array = _array(image, "the image")
    array, _ = _format(array, order, 0, "the image")
    if array.itemsize == 2:
        array = np.minimum(array.astype(np.uint32) >> ((bits or 16) - 8), 255).astype(np.uint8)
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, 2)
    swapped = order == "bgr" and not _pillow(image)
    return np.ascontiguousarray(array[:, :, 2::-1] if swapped else array[:, :, :3], np.uint8)
