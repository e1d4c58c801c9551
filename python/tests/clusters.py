"""A small cluster of Ray on this machine, and work that kills its workers."""

import contextlib
import logging
import os
import pathlib
import signal
import sys
import tempfile
import unittest
import unittest.mock

from common import module

# Ray's workers would run behind everything else on the machine, and a busy one is given up soon.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")
ray = module("ray.data") and module("ray")
if ray:
    import softpatch.ray


def start():
    """A cluster of several processes, which all tests share."""
    if sys.platform != "linux":
        raise unittest.SkipTest("workers are killed as on Linux")
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        return
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    ray.init("local", num_cpus=2, object_store_memory=100 << 20, **quiet)


def place(cleanup):
    """A folder that is gone with the test."""
    folder = tempfile.TemporaryDirectory()
    cleanup(folder.cleanup)
    return pathlib.Path(folder.name)


def stop():
    """Ends it, after the last tests that use it."""
    ray.shutdown()


@contextlib.contextmanager
def untouched():
    """No cluster is asked for within."""
    with contextlib.ExitStack() as stack:
        for name in "_score", "_fit_many", "_bench":
            place = f"softpatch.ray.{name}.connect"
            stack.enter_context(unittest.mock.patch(place, side_effect=AssertionError("a cluster was started")))
        yield


def killing(folder, names):
    """A decoder for PPM files that kills its worker at these files, at each once, and leaves a mark in a folder."""
    folder, names = str(folder), set(names)

    def decode(data, path):
        import numpy as np

        mark = pathlib.Path(folder) / pathlib.Path(path).stem
        if pathlib.Path(path).name in names and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if not data.startswith(b"P6"):
            raise ValueError("no PPM file")
        _, size, _, pixels = data.split(b"\n", 3)
        width, height = map(int, size.split())
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    return decode


def murderous(folder, program, when):
    """A program that kills the worker that calls it, once, if its first argument is `when`; else it is the program."""
    path, mark = pathlib.Path(folder) / "program", pathlib.Path(folder) / "killed"
    text = f'#!/bin/sh\nif [ "$2" = {when} ] && mkdir {mark} 2>/dev/null; then kill -9 $PPID; sleep 9; fi\nexec {program} "$@"\n'
    path.write_text(text)
    path.chmod(0o755)
    return path, mark
