"""Not run: what a typed program may write, and what the types of its answers are. test_documents.py has mypy
look at it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import softpatch
from softpatch.sklearn import PatchDetector
from typing_extensions import assert_type


class Pillow:
    """As Pillow's images are typed."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        raise NotImplementedError


def program(grey: npt.NDArray[np.uint8], deep: npt.NDArray[np.uint16], pillow: Pillow) -> None:
    """Every answer has the type that the documents say."""
    detector = softpatch.Detector.fit([grey, grey], size=(256, 128), tau=0.1, discriminator="lof", progress=True)
    detector = softpatch.Detector.fit(Path("parts"), take=["good"], context=softpatch.Context(adapter=0))
    assert_type(detector.score(grey, map="source"), softpatch.Score)
    assert_type(detector.score(pillow), softpatch.Score)
    assert_type(detector.score(deep, bits=12), softpatch.Score)
    assert_type(detector.score([grey, grey]), list[softpatch.Score])
    assert_type(detector.score(image for image in (grey, grey)), list[softpatch.Score])
    score = detector.score(softpatch.Frame(b"", 4, 4, "mono12p"))
    assert_type(score.anomalous, bool | None)
    assert_type(score.map, npt.NDArray[np.float32] | None)
    assert_type(score.regions[0].bbox, tuple[int, int, int, int])
    assert_type(score.heatmap(grey), softpatch.Picture)
    with detector.stream(limit=2) as stream:
        assert_type(stream.submit(grey), Future[softpatch.Score])
        for one in stream.scores([grey, grey]):
            assert_type(one, softpatch.Score)
    assert_type(asyncio.run(detector.score_async(grey)), softpatch.Score)
    assert_type(softpatch.Detector.load(b""), softpatch.Detector)
    assert_type(PatchDetector(tau=0.1).fit([grey]).predict([grey]), npt.NDArray[np.int64])


def mistakes(detector: softpatch.Detector, grey: npt.NDArray[np.uint8]) -> None:
    """Each is one: with --strict, an `ignore` that is not needed is an error."""
    detector.score(grey, map="full")  # type: ignore[call-overload]
    softpatch.Detector.fit([grey], crops=3)  # type: ignore[call-arg]
    softpatch.Detector.fit([grey], tau="a")  # type: ignore[arg-type]
