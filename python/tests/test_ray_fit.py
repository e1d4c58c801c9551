"""One model from shards: that of one machine, or nearly."""

import json
import os
import pathlib
import signal
import tempfile
import unittest

import numpy as np
import softpatch
from clusters import ray, start, stop
from common import Case, image, save

IMAGES = 12
SETTINGS = {"size": 64, "coreset_ratio": 0.2, "batch": 4}


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@unittest.skipUnless(ray, "there is no ray")
class Quantile(unittest.TestCase):
    """Of scores that lie in parts, against NumPy."""

    @classmethod
    def setUpClass(cls):
        from softpatch.ray import _quantile

        cls.of = _quantile

    def both(self, scores, q, parts=3):
        pieces = np.array_split(np.asarray(scores, np.float32), parts)

        def count(prefixes, level):
            found = [self.of.count(piece, prefixes, level) for piece in pieces]
            return [np.sum(of, axis=0) for of in zip(*found)]

        return self.of.quantile(count, q)

    def test_it_is_numpys(self):
        rng = np.random.default_rng(0)
        for scores in rng.gamma(2, 1, 1000), np.ones(7), [3.0], np.repeat([0.0, 1e-30, 2.0], 5), rng.random(2) * 1e9:
            for q in 0, 0.15, 0.5, 0.85, 1:
                found, total = self.both(scores, q)
                self.assertEqual(total, len(scores))
                self.assertAlmostEqual(
                    found, np.quantile(np.float32(scores).astype(float), q), delta=1e-6 * (1 + abs(found))
                )

    def test_what_is_not_looked_at_does_not_count(self):
        found, total = self.both([-1, 1, -1, 2, 3], 0.5)
        self.assertEqual((found, total), (2.0, 3))
        with self.assertRaisesRegex(ValueError, "no patch"):
            self.both([-1, -1], 0.5)

    def test_no_numbers_are_the_largest(self):
        largest = float(np.finfo(np.float32).max)
        self.assertEqual(self.both([1, np.nan, np.inf], 0.0)[0], 1.0)
        self.assertEqual(self.both([1, np.nan, np.inf], 0.5)[0], largest)


@unittest.skipUnless(ray, "there is no ray")
class Shards(Case):
    @classmethod
    def setUpClass(cls):
        start()
        cls.place = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.place.name) / "parts"
        cls.folder.mkdir()
        for i in range(IMAGES):
            save(cls.folder / f"{i:02}.ppm", image(i))

    @classmethod
    def tearDownClass(cls):
        stop()
        cls.place.cleanup()

    def fit(self, shards, **more):
        # Where every CPU is a shard's, too.
        return softpatch.ray.fit(self.folder, shards=shards, all=True, **{**SETTINGS, "num_cpus": 0.5, **more})

    def test_one_shard_is_a_fit(self):
        whole = softpatch.Detector.fit(self.folder, all=True, **SETTINGS)
        made = self.fit(1)
        self.assertTrue(made.model == whole.to_bytes(), "another model")
        self.assertEqual((made.images, made.shards, made.rows), (IMAGES, 1, whole.info["rows"]))

    def test_four_shards_are_nearly_one(self):
        stages = []
        one, made = self.fit(1), self.fit(4, exact_radius=True, progress=stages.append)
        self.assertEqual(stages, ["plan", "features", "denoise", "coreset", "calibrate"])
        self.assertEqual(set(made.seconds), set(stages))
        infos = [m.detector().info for m in (one, made)]
        for name in "noise_threshold", "kept", "rows", "lof_k", "images", "grid":
            self.assertEqual(infos[0][name], infos[1][name], name)
        self.assertEqual(made.exact_radius, one.radius)
        self.assertLess(made.radius, 1.1 * one.radius)
        self.assertTrue(made.union > made.rows and all(made.moved.values()), made)
        bad = image(50)
        bad[30:46, 30:46] = [255, 0, 0]
        self.assertEqual([s.anomalous for s in made.detector().score([image(60), bad])], [False, True])
        model = pathlib.Path(self.place.name) / "model"
        made.save(model)
        self.assertEqual(model.read_bytes(), made.model)

    def test_no_patch_is_a_row_twice(self):
        """Of copies all distances are 0 soon, those of patches that are rows already, too."""
        copies = pathlib.Path(self.place.name) / "copies"
        copies.mkdir()
        for i in range(6):
            save(copies / f"{i}.ppm", image(0))
        made = softpatch.ray.fit(
            copies, shards=2, num_cpus=0.5, all=True, discriminator="none", **{**SETTINGS, "coreset_ratio": 0.5}
        )
        size = int.from_bytes(made.model[:8], "little")
        header = json.loads(made.model[8 : 8 + size])
        start, end = header["provenance"]["data_offsets"]
        places = np.frombuffer(made.model[8 + size :][start:end], np.uint32).reshape(-1, 3)
        self.assertEqual(len(places), made.rows)
        self.assertEqual(len(np.unique(places, axis=0)), made.rows)

    def test_a_worker_that_dies_is_replaced(self):
        whole = self.fit(3)
        killed = []

        def kill(stage):
            # One that has its features.
            if stage in ("denoise", "calibrate"):
                workers = [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if read(p).startswith(b"ray::Shard")]
                killed.append(int(workers[-1].parent.name))
                os.kill(killed[-1], signal.SIGKILL)

        made = self.fit(3, progress=kill)
        self.assertEqual(len(killed), 2)
        self.assertTrue(made.model == whole.model, "another model")

    def test_what_is_wrong_is_said_before(self):
        refused = self.refused
        refused(ValueError, lambda: self.fit(0), "shards is 0")
        refused(ValueError, lambda: self.fit(IMAGES + 1, num_cpus=0.01), f"there are {IMAGES} images")
        refused(ValueError, lambda: self.fit(2, oversample=0.5), "oversample")
        refused(ValueError, lambda: self.fit(3, num_cpus=1), "room for 2", "num_cpus=1")
        refused(TypeError, lambda: self.fit(2, nothing=1), "no setting nothing")
        refused(NotADirectoryError, lambda: softpatch.ray.fit("no/such", shards=1), "no/such")
        refused(Exception, lambda: self.fit(2, discriminator="auto"), "needs all features in one place")


if __name__ == "__main__":
    unittest.main()
