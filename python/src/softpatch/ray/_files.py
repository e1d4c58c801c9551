"""Files that appear whole or not at all, and tables in them."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._modules import pa, pq


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all: who is killed meanwhile leaves a file that begins with .softpatch-, which nobody
    reads."""
    number, beside = tempfile.mkstemp(prefix=".softpatch-", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def write_parquet(path: Path, table: pa.Table) -> None:
    """A table as Parquet, whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_whole(path, sink.getvalue().to_pybytes())


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Rows as CSV, whole or not at all; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def out_folder(path: str | os.PathLike[str]) -> Path:
    """The folder for results, made where it is not there."""
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: is a file; results take a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
