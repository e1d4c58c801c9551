"""Finds what is wrong with parts, from pictures of good ones, a few of which may be defective: SoftPatch on
any GPU, or on the CPU by a software driver.

The examples below, and those of other names, go on from here:

>>> import asyncio
>>> import numpy as np
>>> import softpatch
>>> def part(seed):
...     noise = np.random.default_rng(seed).normal(0, 4, (96, 96))
...     return (120 + 40 * np.sin(np.arange(96) / 4) + noise).astype(np.uint8)
>>> good = [part(seed) for seed in range(12)]
>>> bad = part(99)
>>> bad[40:56, 40:56] = 255

A detector is fitted on a folder or on arrays, scores one image or several, and shows where they look wrong:

>>> detector = softpatch.Detector.fit(good, size=96)
>>> score = detector.score(bad, map="source")
>>> score.anomalous, score.map.shape
(True, (96, 96))
>>> score.heatmap(bad).save("heatmap.png")
>>> detector.save("part.safetensors")

`audit` looks at training images before a fit; `Detector.explain` says what the worst patches were compared
with; `Detector.calibrate` sets thresholds for a wanted rate; `allow`, `deny`, `remove_image` and `undo` mend
a model without a new fit, and `ModelFile` has all of that for files. `Detector.stream` keeps frames in flight
and gives Futures. `Context` chooses adapter, memory and weights; nobody needs one who is content with the
defaults. `softpatch.sklearn` has an estimator.

The library is found through the environment variable SOFTPATCH_LIBRARY, in the package, or where the system
looks. Calls release the GIL. After its first call the library works in that process alone: os.fork() and
multiprocessing's "fork" leave the driver's threads behind, and calls in the child raise ForkedError. Call
multiprocessing.set_start_method("spawn") before making workers.
"""

from ._abi import FORMATS
from ._arguments import FitSettings
from ._context import Context, adapters
from ._detector import Detector
from ._documents import Audit, Explanation
from ._images import Frame, ImageLike
from ._library import version as __version__
from ._models import ModelFile, audit
from ._pictures import Picture
from ._results import Region, Score
from ._stream import Stream
from ._errors import Busy, Cancelled, ChoiceError, ForkedError, SoftpatchError

__all__ = [
    "FORMATS",
    "Audit",
    "Busy",
    "Cancelled",
    "ChoiceError",
    "Context",
    "Detector",
    "Explanation",
    "FitSettings",
    "ForkedError",
    "Frame",
    "ImageLike",
    "ModelFile",
    "Picture",
    "Region",
    "Score",
    "SoftpatchError",
    "Stream",
    "__version__",
    "adapters",
    "audit",
]
