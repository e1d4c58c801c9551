"""What is wrong is named with what it takes."""

import os
import pickle
import sys
import tempfile
import unittest

import numpy as np
import softpatch
from common import Case, image, python
from softpatch._abi import FitOptions


class Arguments(Case):
    def test_wrong_settings_are_named(self):
        def fit(**settings):
            return lambda: softpatch.Detector.fit([image(0)] * 4, **settings)

        maps = ("map is 'full'", "None", "'grid'", "'frame'", "'source'")
        self.refused(ValueError, lambda: self.detector.score(image(0), map="full"), *maps)
        self.refused(ValueError, lambda: self.detector.stream(map="full"), *maps)
        known = {name for name, _ in FitOptions._fields_} - {"struct_size"} | {"order", "progress", "context"}
        self.refused(TypeError, fit(crops=3), "no setting crops", *known)
        wrong = {"coreset_ratio": "0.1", "tau": None, "crop": "64", "batch": 1.5, "exif": "yes", "soft_weights": "no"}
        wrong |= {"layout": 3, "take": 5, "all": "yes", "progress": 3}
        for name, value in wrong.items():
            self.refused(TypeError, fit(**{name: value}), f"{name} is {value!r}; it takes ")
        self.refused(TypeError, fit(take=["fine", 5]), "take is ")
        # Not cut to what the field has room for.
        for name, value in {"seed": -1, "crop": 2**32 + 64, "lof_k": -1}.items():
            self.refused(ValueError, fit(**{name: value}), f"{name} is {value}; it takes 0 to ")
        self.refused(ValueError, fit(embedding=["pooled"]), "embedding is ['pooled']", "concat")
        wrong = {"memory_budget": "2GiB", "adapter": 1.5, "layers": 3, "low_power": "no", "architecture": 3}
        for name, value in wrong.items():
            self.refused(TypeError, lambda: softpatch.Context(**{name: value}), f"{name} is {value!r}; it takes ")
        self.refused(TypeError, lambda: self.detector.stream(limit="4"), "limit is '4'")
        self.refused(TypeError, lambda: self.detector.score(image(0), bits="12"), "bits is '12'")
        self.refused(TypeError, lambda: softpatch.Frame(b"", "3", 1, "gray8"), "width is '3'")
        numbers = {"crop": np.uint8(64), "resize": np.int64(64), "coreset_ratio": np.float32(0.25), "exif": np.True_}
        self.assertEqual(fit(**numbers)().info["options"]["coreset-ratio"], 0.25)
        copies = fit(crop=np.uint8(64), coreset_ratio=0.25)()
        self.assertEqual(copies.info["options"]["resize"], 73)
        # Copies do not say how good images score.
        self.assertIsNone(copies.calibrated(1))

    def test_a_missing_library_says_what_to_do(self):
        def said(library):
            done = python("import softpatch", SOFTPATCH_LIBRARY=library)
            self.assertEqual(done.returncode, 1)
            return done.stderr.strip().splitlines()[-1]

        with tempfile.TemporaryDirectory() as folder:
            text = said(os.path.join(folder, "libsoftpatch.so"))
        for word in ("ImportError", "libsoftpatch.so", "set SOFTPATCH_LIBRARY", "pip install"):
            self.assertIn(word, text)
        # One that is another library, here NumPy's.
        other = next(
            m.__file__
            for name, m in sys.modules.items()
            if name.endswith("core._multiarray_umath") and m.__file__.endswith((".so", ".pyd"))
        )
        text = said(other)
        self.assertIn("ImportError", text)
        self.assertIn(os.path.basename(other), text)

    def test_errors(self):
        with self.assertRaises(softpatch.Cancelled):
            softpatch.Detector.fit([image(0)] * 4, progress=lambda *_: False, crop=64)
        with self.assertRaises(KeyError):
            softpatch.Detector.fit([image(0)] * 4, progress=lambda *_: {}["x"], crop=64)
        for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)):
            with self.assertRaises(ValueError):
                self.detector.score(wrong)
        with self.assertRaises(ValueError):
            self.detector.score(image(0), order="grb")
        with self.assertRaises(ValueError):
            self.detector.score(image(0), order="bayer_rg")
        with self.assertRaises(ValueError):
            softpatch.Frame(b"", 1, 1, "mono11")
        error = pickle.loads(pickle.dumps(softpatch.ForkedError(19, "text")))
        self.assertEqual((type(error), error.code, str(error)), (softpatch.ForkedError, 19, "text"))
        with self.assertRaises(softpatch.SoftpatchError) as caught:
            softpatch.Detector.load("no/such/model")
        self.assertEqual(caught.exception.code, 6)
        with self.assertRaises(TypeError):
            softpatch.Detector.fit([], crops=3)
        with self.assertRaises(ValueError):
            softpatch.Detector.fit([], embedding="flat")
        with self.assertRaises(softpatch.SoftpatchError):
            softpatch.Context(layers=["layer2"])
        closed = softpatch.Detector.load(self.detector.to_bytes())
        closed.close()
        with self.assertRaises(softpatch.SoftpatchError):
            closed.score(image(0))


if __name__ == "__main__":
    unittest.main()
