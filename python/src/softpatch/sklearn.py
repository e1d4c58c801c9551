"""An estimator in the manner of scikit-learn's outlier detectors. scikit-learn itself is not needed.

>>> import pickle
>>> from softpatch.sklearn import PatchDetector
>>> estimator = PatchDetector(size=96, tau=0.1).fit(good)
>>> estimator.predict([good[0], bad])
array([ 1, -1])
>>> estimator.decision_function([bad]) < 0
array([ True])
>>> again = pickle.loads(pickle.dumps(estimator))
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ._detector import Detector
from ._errors import SoftpatchError

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._arguments import Order, PathLike
    from ._context import Context
    from ._progress import ProgressLike


class PatchDetector:
    """`softpatch.Detector` as an estimator: parameters are the settings of `Detector.fit` (None: the default), samples are
    images, as `Detector.score` takes them.

    Signs are those of scikit-learn's outlier detectors, whose scores are higher for what is more normal: `score_samples` is the
    image's score times -1, `decision_function` is the model's threshold less the score, so that it is below 0 for what is
    anomalous, and `predict` is -1 for that and 1 for the others.

    After `fit`: `detector_`, the fitted `softpatch.Detector`, which is pickled as its model file; `offset_`, the model's
    threshold times -1 (NaN where the training images give none); `n_images_`.
    """

    _estimator_type = "outlier_detector"

    def __init__(
        self,
        *,
        tau: float | None = None,
        coreset_ratio: float | None = None,
        seed: int | None = None,
        discriminator: Literal["lof", "nearest", "gaussian", "none", "auto"] | None = None,
        lof_k: int | None = None,
        soft_weights: bool | None = None,
        projection: int | None = None,
        resize: int | None = None,
        crop: int | None = None,
        batch: int | None = None,
        embedding: Literal["auto", "concat", "pooled"] | None = None,
        embedding_dim: int | None = None,
        compat: Literal["none", "official"] | None = None,
        exif: bool | None = None,
        precision: Literal["f32", "f16"] | None = None,
        bits: int | None = None,
        black: float | None = None,
        white: float | None = None,
        geometry: Literal["whole", "paper"] | None = None,
        fit_aspect: Literal["stretch", "pad", "crop"] | None = None,
        size: int | tuple[int, int] | None = None,
        group: Literal["position", "window", "global"] | None = None,
        window: int | None = None,
        roi: PathLike | None = None,
        target_fpr: float | None = None,
        order: Order = "rgb",
        progress: ProgressLike = None,
        context: Context | None = None,
    ) -> None:
        # As they are: scikit-learn's clone compares by identity.
        given = dict(locals())
        for name in self._names():
            setattr(self, name, given[name])

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; none of them has parameters of its own."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Sets parameters for the next fit."""
        known = self._names()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"no parameter {name}; there are {', '.join(known)}")
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learns from images: a list, an array of four axes, or a folder. `y` is not looked at."""
        given = {name: value for name, value in self.get_params().items() if value is not None}
        self.detector_ = Detector.fit(X, **given)
        threshold = self.detector_.threshold
        self.offset_ = float("nan") if threshold is None else -threshold
        self.n_images_ = len(self.detector_.info["images"])
        return self

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """Scores times -1, [images]: higher is more normal."""
        if not self.__sklearn_is_fitted__():
            raise _not_fitted(f"this {type(self).__name__} is not fitted yet: call fit first")
        scores = self.detector_.score(list(X), order=self.get_params()["order"])
        return np.array([-score.score for score in scores], np.float64)

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """The threshold less the scores, [images]: below 0 for what is anomalous."""
        scores = self.score_samples(X)
        if np.isnan(self.offset_):
            raise SoftpatchError(
                _NO_THRESHOLD, "the model has no threshold: its training images do not differ, or are too few"
            )
        return scores - self.offset_

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """1 for what is normal, -1 for what is anomalous, [images]."""
        return np.where(self.decision_function(X) < 0, -1, 1).astype(np.int64)

    def fit_predict(self, X: Any, y: Any = None) -> npt.NDArray[np.int64]:
        """`fit`, then `predict` of the same images."""
        return self.fit(X).predict(X)

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in self.get_params().items() if value != _DEFAULTS[name]]
        return f"{type(self).__name__}({', '.join(given)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "detector_")

    def __sklearn_tags__(self) -> Any:
        # Asked for by scikit-learn alone, which is there, then.
        utils = importlib.import_module("sklearn.utils")
        inputs = utils.InputTags(two_d_array=False, three_d_array=True)
        return utils.Tags(estimator_type="outlier_detector", target_tags=utils.TargetTags(required=False), input_tags=inputs)


# SOFTPATCH_MODEL: what is wrong is with the model.
_NO_THRESHOLD = 9
_DEFAULTS = {name: p.default for name, p in inspect.signature(PatchDetector.__init__).parameters.items()}


def _not_fitted(text: str) -> Exception:
    """The error that scikit-learn raises for it, where that is at work."""
    there = sys.modules.get("sklearn.exceptions")
    error: Exception = ValueError(text) if there is None else there.NotFittedError(text)
    return error
