"""Images and detectors that tests share."""

import functools
import logging
import os
import pathlib
import subprocess
import sys
import unittest

import numpy as np
import softpatch

SIDE = 80
SMALL = {"crop": 64, "resize": 64, "coreset_ratio": 0.25}
# What fits have to say is not to be mixed with what tests say.
logging.getLogger("softpatch").addHandler(logging.NullHandler())
PYTHON = pathlib.Path(__file__).resolve().parent.parent


def image(seed, side=SIDE):
    rng = np.random.default_rng(seed)
    stripes = 100 + 40 * np.sin(np.arange(side) / 3)[:, None, None]
    return (stripes + rng.normal(0, 5, (side, side, 3))).clip(0, 255).astype(np.uint8)


def defective(seed=50):
    bad = image(seed)
    bad[30:46, 30:46] = [255, 0, 0]
    return bad


def save(path, pixels):
    path.write_bytes(b"P6\n%d %d\n255\n" % pixels.shape[1::-1] + pixels.tobytes())


@functools.cache
def fitted():
    """A detector, and what its fit told of its progress."""
    calls = []
    images = [image(i) for i in range(6)]
    return softpatch.Detector.fit(images, progress=lambda *what: calls.append(what), batch=4, **SMALL), calls


def module(name):
    """A module that need not be there; None says which tests are skipped."""
    try:
        return __import__(name, fromlist=["_"])
    except ImportError:
        print(f"skipped: there is no {name}")
        return None


def environment(**more):
    """Of a process that imports the package from where this one has it."""
    return {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(softpatch.__file__)), **more}


def python(program, timeout=90, **more):
    """A process of Python to its end."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=timeout)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.detector, cls.calls = fitted()

    def refused(self, error, call, *words):
        """The call raises the error, whose text has all these words."""
        with self.assertRaises(error) as caught:
            call()
        for word in words:
            self.assertIn(word, str(caught.exception))
