"""Pictures for workers: which files a folder has, their bytes, and their pixels."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from ._modules import fs

# Makes an image, as `Detector.score` takes it, of the bytes of a file; hears its path, too.
Decode = Callable[[bytes, str], npt.NDArray[Any]]
Paths = Union[str, "os.PathLike[str]", Iterable[Union[str, "os.PathLike[str]"]]]

# As the program has them (IMAGE_EXTENSIONS), without QOI, which Pillow does not know.
EXTENSIONS = frozenset("png jpg jpeg jfif jpe bmp dib tif tiff webp gif pbm pgm ppm pnm".split())


def _is_address(path: str) -> bool:
    return "://" in path


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and name.rpartition(".")[2].lower() in EXTENSIONS


def _in_folder(path: str) -> list[str]:
    """The picture files in a folder and all folders below it, sorted."""
    if _is_address(path):
        system, place = fs.FileSystem.from_uri(path)
        inside = [i for i in system.get_file_info(fs.FileSelector(place, recursive=True)) if i.is_file]
        start = path.rstrip("/")
        found = [start + i.path[len(place.rstrip("/")) :] for i in inside if _is_picture(i.base_name)]
    else:
        found = []
        for folder, below, names in os.walk(path):
            below[:] = [name for name in below if not name.startswith(".")]
            found += [os.path.join(folder, name) for name in names if _is_picture(name)]
    if not found:
        raise FileNotFoundError(f"{path}: holds no pictures ({', '.join(sorted(EXTENSIONS))})")
    return sorted(found)


def listed(pictures: Paths) -> list[str]:
    """The pictures of a folder, or those that are named, as every machine finds them: absolute paths, and addresses as they
    are."""
    if isinstance(pictures, (str, os.PathLike)):
        path = os.fspath(pictures)
        if _is_address(path):
            system, place = fs.FileSystem.from_uri(path)
            return _in_folder(path) if system.get_file_info(place).type == fs.FileType.Directory else [path]
        path = os.path.abspath(path)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path}: there is no such file or folder")
        return _in_folder(path) if os.path.isdir(path) else [path]
    paths = [os.fspath(path) for path in pictures]
    if not paths:
        raise ValueError("there are no pictures: the list is empty")
    paths = [path if _is_address(path) else os.path.abspath(path) for path in paths]
    if len(set(paths)) != len(paths):
        twice = next(path for i, path in enumerate(paths) if path in set(paths[:i]))
        raise ValueError(f"{twice}: is named twice; every picture is scored once")
    return paths


def contents(path: str) -> bytes:
    """The bytes of a file, by its path or address."""
    if not _is_address(path):
        return Path(path).read_bytes()
    system, place = fs.FileSystem.from_uri(path)
    with system.open_input_stream(place) as stream:
        data: bytes = stream.read()
    return data


def needs_pillow(model: Mapping[str, Any]) -> Decode:
    """What decodes the files for a model: Pillow. Says before any work where that is not installed, or where the model was
    fitted with something that Pillow does not do."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        told = "reading picture files takes Pillow, which is not installed: pip install pillow, or give decode=function"
        raise ImportError(told) from None
    options = model["options"]
    if options.get("white"):
        raise ValueError(
            f"the model was fitted with black={options.get('black', 0)} and white={options['white']}, which only the program "
            "applies; give decode=, a function (bytes, path) that gives arrays of uint8 with these levels applied"
        )
    return Pillow(bool(options.get("exif")))


class Pillow:
    """Decodes by Pillow as the program does: the first page, alpha dropped, palettes resolved, no colour profiles, 16 bits kept;
    turned as EXIF says where the model was fitted so. Pixels equal the program's but for JPEG, whose decoders may differ by a
    level or two."""

    def __init__(self, exif: bool) -> None:
        self.exif = exif

    def __call__(self, data: bytes, path: str) -> npt.NDArray[Any]:
        import PIL.Image
        import PIL.ImageOps

        if data[12:16] == b"IHDR" and data[24] == 16 and data[25] & 2:
            raise ValueError("a PNG with colours of 16 bits, which Pillow cuts to 8; give decode=, which makes uint16 of it")
        with PIL.Image.open(io.BytesIO(data)) as file:
            image: Any = PIL.ImageOps.exif_transpose(file) if self.exif else file
            if image.mode.startswith("I;16"):
                return np.asarray(image).astype(np.uint16, copy=False)
            if image.mode in ("I", "F"):
                raise ValueError(
                    f"samples of mode {image.mode} have no fixed range; give decode=, which makes uint8 of them"
                )
            if image.mode in ("LA", "La"):
                image = image.getchannel(0)
            elif image.mode in ("1", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
                image = image.convert("L" if image.mode == "1" else "RGB")
            return np.asarray(image)
