"""The program `softpatch`, for what the library does not offer: evaluation and benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._arguments import PathLike


def found(program: PathLike | None) -> str | None:
    """Where the program is on this machine: where the caller says, where SOFTPATCH_PROGRAM says, or on the PATH."""
    return shutil.which(os.fspath(program or os.environ.get("SOFTPATCH_PROGRAM") or "softpatch"))


def needed(program: PathLike | None) -> str:
    """The same, or what to do."""
    path = found(program)
    if path is None:
        told = "" if program is None else f" at {os.fspath(program)}"
        raise FileNotFoundError(
            f"there is no program softpatch{told}: say program=, set SOFTPATCH_PROGRAM, or put it on the PATH of every machine"
        )
    return path


# On Linux the program ends when the worker does that started it: nobody would read what it makes. A process of its own asks for
# that and becomes the program, since between fork and exec a process with threads may do next to nothing.
_WITH_ITS_WORKER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def run(program: str, arguments: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Runs it to its end, quietly."""
    command = [program, "-q", *arguments]
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _WITH_ITS_WORKER, str(os.getpid()), *command]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """What it said of its failure, without what is no news to a caller."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error")] or done.stderr.splitlines()
    said = " ".join(lines).removeprefix("error: ").removeprefix("invalid option: ")
    return said or f"the program ended with status {done.returncode}"


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options by their names in Python, as the program takes them: True is the name alone, None and False leave it out, a
    list has commas."""
    given: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            given.append(flag)
        elif isinstance(value, (list, tuple)) and name == "size":
            given.append(f"{flag}={value[0]}x{value[1]}")
        elif isinstance(value, (list, tuple)) and name == "take":
            given += [f"{flag}={os.fspath(one)}" for one in value]
        elif isinstance(value, (list, tuple)):
            given.append(f"{flag}={','.join(map(str, value))}")
        else:
            given.append(f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    return given
