"""The rows of a score as they come in, each kept once, and the files that they make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._files import write_parquet, write_whole
from ._modules import pa, pc, pq

# What a run was asked for, beside its files: a run goes on with the files of one that was asked for the same.
RUN = "run.json"


class Incomplete(RuntimeError):
    """Pictures have no row: `missing` are their paths. Calling again scores these."""

    def __init__(self, text: str, missing: Sequence[str]) -> None:
        super().__init__(text)
        self.missing = list(missing)


def digest(*parts: bytes | str) -> str:
    """SHA-256 over parts, each with its length."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()


class Rows:
    """Takes rows in any order. The caller's process is the only one that writes, so that no worker's death leaves half a file,
    or two with the same pictures.

    File `k` holds pictures `k * per_file` and the following ones, in order, whatever came in first: the files of two runs are
    equal, and one that is there need not be made again. Without paths (`paths` is None: nobody knows how many there are), files
    are filled in the order in which rows come."""

    def __init__(self, folder: Path, schema: pa.Schema, per_file: int, paths: Sequence[str] | None, asked: str) -> None:
        self._folder, self._schema, self._per_file, self._paths = folder, schema, per_file, paths
        self._waiting: dict[int, list[pa.Table]] = {}
        self._seen: set[int] = set()
        self.repeated = self.kept = self.errors = self.anomalous = 0
        self._begin(asked)

    def _begin(self, asked: str) -> None:
        mark, files = self._folder / RUN, sorted(self._folder.glob("part-*.parquet"))
        if self._paths is None or not mark.exists():
            if files:
                raise FileExistsError(
                    f"{self._folder}: holds {files[0].name} of another run; give another folder, or remove them"
                )
        elif json.loads(mark.read_bytes()).get("asked") != asked:
            raise FileExistsError(
                f"{self._folder}: holds the results of another model, other pictures or other settings; give another folder, or "
                "remove it"
            )
        for path in files:
            table = pq.read_table(path, schema=self._schema)
            if table.column("number").to_pylist() == self.numbers(int(path.stem.partition("-")[2])):
                self._count(table)
                self.kept += table.num_rows
        write_whole(mark, json.dumps({"asked": asked, "per_file": self._per_file}).encode())

    def numbers(self, part: int) -> list[int]:
        """Which pictures a file has, where their number is known."""
        first = part * self._per_file
        return list(range(first, min(first + self._per_file, len(self._paths or ()))))

    def missing(self) -> list[int]:
        """The pictures that have no row yet, where their number is known."""
        return [] if self._paths is None else [i for i in range(len(self._paths)) if i not in self._seen]

    def __len__(self) -> int:
        return len(self._seen)

    def _count(self, table: pa.Table) -> None:
        self._seen.update(table.column("number").to_pylist())
        self.errors += table.num_rows - table.column("error").null_count
        self.anomalous += pc.sum(table.column("anomalous")).as_py() or 0

    def take(self, table: pa.Table) -> None:
        """Takes rows in; those of pictures that have one are counted, and dropped."""
        table = table.select(self._schema.names).cast(self._schema)
        new: list[bool] = []
        batch: set[int] = set()
        for number in table.column("number").to_pylist():
            new.append(number not in self._seen and number not in batch)
            batch.add(number)
        self.repeated += new.count(False)
        table = table.filter(pa.array(new, pa.bool_()))
        if not table.num_rows:
            return
        self._count(table)
        if self._paths is None:
            self._fill(table)
            return
        parts = np.asarray(table.column("number")) // self._per_file
        for part in np.unique(parts).tolist():
            self._waiting.setdefault(part, []).append(table.filter(pa.array(parts == part)))
            if sum(t.num_rows for t in self._waiting[part]) == len(self.numbers(part)):
                self._write(part, self._waiting.pop(part))

    def _fill(self, table: pa.Table) -> None:
        """The same where rows have no place of their own."""
        part = max(self._waiting, default=0)
        self._waiting.setdefault(part, []).append(table)
        while (whole := pa.concat_tables(self._waiting[part])).num_rows >= self._per_file:
            self._write(part, [whole.slice(0, self._per_file)])
            del self._waiting[part]
            part += 1
            self._waiting[part] = [whole.slice(self._per_file)]

    def _write(self, part: int, tables: list[pa.Table]) -> None:
        table = pa.concat_tables(tables).sort_by("number").combine_chunks()
        write_parquet(self._folder / f"part-{part:05d}.parquet", table)

    def end(self) -> None:
        """Writes what waits, and says what is missing."""
        missing = self.missing()
        if missing:
            paths = [self._paths[i] for i in missing] if self._paths else []
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            raise Incomplete(
                f"{len(paths)} pictures have no row: {', '.join(paths[:3])}{more}; call again to score them", paths
            )
        if self._paths is None and not self._waiting:
            self._waiting[0] = [self._schema.empty_table()]
        for part, tables in sorted(self._waiting.items()):
            if any(table.num_rows for table in tables) or part == 0:
                self._write(part, tables)
        self._waiting.clear()


def read(folder: Path) -> pa.Table:
    """All rows of a folder, by number."""
    files: list[Any] = sorted(folder.glob("part-*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).sort_by("number")
