"""The estimator: by scikit-learn's own functions where that is there, else by the same contract."""

import inspect
import pickle
import unittest

import numpy as np
import softpatch
from common import SMALL, Case, defective, image, module
from softpatch._abi import FitOptions
from softpatch.sklearn import PatchDetector

sklearn = module("sklearn")


def cloned(estimator):
    """What sklearn.base.clone does."""
    params = estimator.get_params(deep=False)
    made = type(estimator)(**params)
    assert all(value is params[name] for name, value in made.get_params(deep=False).items())
    return made


class Estimator(Case):
    def test_it_is_fitted_and_tells_signs_as_outlier_detectors_do(self):
        good, bad = [image(i) for i in range(8)], defective()
        estimator = PatchDetector(**SMALL)
        with self.assertRaises(ValueError):
            estimator.predict([bad])
        self.assertIs(estimator.fit(good), estimator)
        scores = estimator.detector_.score([good[0], bad])
        np.testing.assert_array_equal(estimator.score_samples([good[0], bad]), [-s.score for s in scores])
        normal, anomalous = estimator.decision_function([good[0], bad])
        self.assertTrue(normal >= 0 > anomalous)
        self.assertEqual(estimator.predict(np.stack([good[0], bad])).tolist(), [1, -1])
        np.testing.assert_array_equal(estimator.decision_function([bad]), estimator.score_samples([bad]) - estimator.offset_)
        # The verdict is the library's, to the last bit.
        many = [image(100 + i) for i in range(20)] + [bad]
        verdicts = [-1 if s.anomalous else 1 for s in estimator.detector_.score(many)]
        self.assertEqual(estimator.predict(many).tolist(), verdicts)
        self.assertEqual(estimator.n_images_, 8)
        # Copies give no threshold, and that is said.
        copies = PatchDetector(**SMALL).fit([image(0)] * 4)
        self.assertTrue(np.isnan(copies.offset_))
        self.refused(softpatch.SoftpatchError, lambda: copies.predict([bad]), "no threshold")

    def test_parameters_are_the_settings_of_a_fit(self):
        known = set(inspect.signature(PatchDetector).parameters)
        self.assertEqual(known, {name for name, _ in FitOptions.settings()} | {"order", "progress", "context"})
        # Of a folder.
        of_folders = {"exclude"}
        self.assertEqual(
            set(softpatch.FitSettings.__annotations__) - of_folders, {name for name, _ in FitOptions.settings()}
        )
        estimator = PatchDetector(tau=0.2, size=(96, 64))
        self.assertEqual((estimator.get_params()["tau"], estimator.get_params()["lof_k"]), (0.2, None))
        self.assertEqual(
            repr(estimator.set_params(tau=0.3, size=None, discriminator="none")),
            "PatchDetector(tau=0.3, discriminator='none')",
        )
        self.refused(ValueError, lambda: estimator.set_params(tao=1), "no parameter tao", "tau")

    def test_it_is_cloned_and_pickled(self):
        estimator = PatchDetector(**SMALL, tau=0.1).fit([image(i) for i in range(6)])
        copy = cloned(estimator)
        self.assertEqual(copy.get_params(), estimator.get_params())
        self.assertFalse(hasattr(copy, "detector_"))
        again = pickle.loads(pickle.dumps(estimator))
        self.assertEqual(again.score_samples([defective()]).tolist(), estimator.score_samples([defective()]).tolist())
        self.assertEqual(again.get_params(), estimator.get_params())

    @unittest.skipUnless(sklearn, "there is no scikit-learn")
    def test_scikit_learn_takes_it(self):
        from sklearn.base import clone, is_outlier_detector
        from sklearn.exceptions import NotFittedError
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        X = np.stack([image(i) for i in range(8)] + [defective(20), defective(21)])
        y = np.array([1] * 8 + [-1] * 2)
        with self.assertRaises(NotFittedError):
            PatchDetector().predict(X)
        estimator = clone(PatchDetector(**SMALL))
        self.assertTrue(is_outlier_detector(estimator))
        pipeline = make_pipeline(FunctionTransformer(lambda images: images[:, :, :, 1]), estimator).fit(X[:8])
        self.assertEqual(roc_auc_score(y, pipeline.decision_function(X)), 1.0)
        self.assertEqual(pipeline.predict(X[8:]).tolist(), [-1, -1])
        split = [(np.arange(6), np.array([6, 7, 8, 9]))]
        search = GridSearchCV(estimator, {"tau": [0.05, 0.15]}, scoring="roc_auc", cv=split, error_score="raise").fit(X, y)
        self.assertEqual(search.best_score_, 1.0)


if __name__ == "__main__":
    unittest.main()
