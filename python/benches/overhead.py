"""What a call of `Detector.score` takes above the C functions that it calls, the least and the median of many calls: with
functions of C that return at once, and around the real ones, after which caches are cold.

    python python/benches/overhead.py [CALLS]
"""

import ctypes
import statistics
import sys
import time

import numpy as np
import softpatch
from softpatch import _library


class Timed:
    """The library, with the time that is spent in its functions added up."""

    def __init__(self, library):
        self._library, self.seconds, self._made = library, 0.0, {}

    def __getattr__(self, name):
        if name not in self._made:
            function = getattr(self._library, name)

            def timed(*arguments):
                start = time.perf_counter()
                status = function(*arguments)
                self.seconds += time.perf_counter() - start
                return status

            self._made[name] = timed
        return self._made[name]


class Instant:
    """The library, with functions of C that take the same arguments and return at once."""

    def __init__(self, library):
        self._library, self._other = library, ctypes.CDLL(library._name)

    def __getattr__(self, name):
        like = getattr(self._library, name)
        # A new object at every look.
        function = self._other["softpatch_last_error_code"]
        function.restype, function.argtypes = like.restype, like.argtypes
        setattr(self, name, function)
        return function


def each(call, calls, inside=lambda: 0.0):
    """Microseconds of each of many calls, without what is spent inside of C."""
    taken = []
    for _ in range(calls):
        start, before = time.perf_counter(), inside()
        call()
        taken.append(1e6 * (time.perf_counter() - start - (inside() - before)))
    return f"{min(taken):6.1f} {statistics.median(taken):8.1f}"


def main():
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    images = [np.random.default_rng(i).integers(0, 255, (64, 64, 3)).astype(np.uint8) for i in range(4)]
    detector = softpatch.Detector.fit(images, size=64, coreset_ratio=0.05)
    large = np.random.default_rng(9).integers(0, 255, (640, 480, 3)).astype(np.uint8)
    library, adapter = _library.library, softpatch.Context.default().info["adapter"]
    cases = {
        "64 x 64": lambda: detector.score(images[0]),
        "64 x 64, map of the image": lambda: detector.score(images[0], map="source"),
        "640 x 480": lambda: detector.score(large),
        "640 x 480, a slice": lambda: detector.score(large[8:, 8:]),
    }
    print(
        f"{adapter}, NumPy {np.__version__}, Python {sys.version.split()[0]}, {calls} calls; least and median, microseconds"
    )
    print(f"{'':28}{'C at once':>15}{'around C':>16}{'in C':>14}")
    for name, call in cases.items():
        call()
        _library.library = Instant(library)
        alone = each(call, 10 * calls)
        _library.library = timed = Timed(library)
        above = each(call, calls, lambda: timed.seconds)
        print(f"{name:28}{alone:>15} {above:>15} {1e3 * timed.seconds / calls:10.1f} ms")


if __name__ == "__main__":
    main()
