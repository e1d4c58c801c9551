"""Tests of softpatch.py: SOFTPATCH_LIBRARY=path/to/libsoftpatch.so python tools/test_softpatch_py.py"""

import os
import tempfile
import unittest

import numpy as np
import softpatch

SIDE = 80


def image(seed, side=SIDE):
    rng = np.random.default_rng(seed)
    stripes = 100 + 40 * np.sin(np.arange(side) / 3)[:, None, None]
    return (stripes + rng.normal(0, 5, (side, side, 3))).clip(0, 255).astype(np.uint8)


class Softpatch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.context = softpatch.Context()
        cls.calls = []
        cls.detector = cls.context.fit(
            [image(i) for i in range(6)],
            progress=lambda *what: cls.calls.append(what),
            crop=64,
            resize=64,
            coreset_ratio=0.25,
            batch=4,
        )

    def test_fit_reports_and_describes(self):
        self.assertEqual({c[0] for c in self.calls}, set(softpatch.STAGES))
        self.assertEqual(self.detector.info["options"]["crop"], 64)
        self.assertEqual(len(self.detector.info["images"]), 6)
        self.assertGreaterEqual(len(softpatch.adapters()), 1)
        self.assertIn("adapter", self.context.info)

    def test_a_defect_scores_higher(self):
        good, bad = image(50), image(50)
        bad[30:45, 30:45] = [255, 0, 0]
        a, b = self.detector.score([good, bad], map="source")
        self.assertGreater(b.score, a.score)
        self.assertTrue(b.anomalous)
        self.assertEqual(b.map.shape, (SIDE, SIDE))
        y, x = np.unravel_index(b.map.argmax(), b.map.shape)
        self.assertTrue(22 <= y < 53 and 22 <= x < 53, (y, x))

    def test_layouts_agree(self):
        rgb = image(7)
        want = self.detector.score(rgb, map="crop")
        wide = np.zeros((SIDE, SIDE + 9, 3), np.uint8)
        wide[:, 4 : 4 + SIDE] = rgb
        alpha = np.dstack([rgb, np.full((SIDE, SIDE), 3, np.uint8)])
        for array, order in [
            (wide[:, 4 : 4 + SIDE], "rgb"),
            (rgb[:, :, ::-1], "bgr"),
            (np.ascontiguousarray(rgb[:, :, ::-1]), "bgr"),
            (np.asfortranarray(rgb), "rgb"),
            (alpha, "rgb"),
        ]:
            got = self.detector.score(array, map="crop", order=order)
            np.testing.assert_array_equal(got.map, want.map)
        grey = rgb[:, :, 0]
        a = self.detector.score(grey, map="grid")
        b = self.detector.score(grey.astype(np.uint16) * 257, map="grid")
        np.testing.assert_array_equal(a.map, b.map)
        self.assertEqual(a.map.shape, (8, 8))

    def test_settings_arrive(self):
        detector = self.context.fit(
            [image(i) for i in range(4)],
            crop=64,
            resize=64,
            coreset_ratio=0.25,
            embedding="pooled",
            embedding_dim=96,
            compat="official",
            discriminator="nearest",
            exif=True,
        )
        options = detector.info["options"]
        names = ("embedding", "embedding-dim", "compat", "discriminator", "exif")
        self.assertEqual([options[n] for n in names], ["pooled", 96, "official", "nearest", True])
        self.assertEqual(detector.info["dim"], 96)

    def test_files_and_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model")
            self.detector.save(path)
            again = [self.context.load(path), self.context.load(self.detector.to_bytes())]
        want = self.detector.score(image(9), map="crop")
        for detector in again:
            np.testing.assert_array_equal(detector.score(image(9), map="crop").map, want.map)

    def test_stream(self):
        frames = [image(i, SIDE + i) for i in range(5)] * 6
        want = self.detector.score(frames[:5], map="source")
        with self.detector.stream(limit=3, map="source") as stream:
            self.assertIsNone(stream.wait(0))
            for i, score in enumerate(stream.scores(frames)):
                self.assertEqual(score.ticket, i)
                np.testing.assert_array_equal(score.map, want[i % 5].map)
            self.assertEqual(i, len(frames) - 1)
            tickets = [stream.submit(frames[0]) for _ in range(4)]
            self.assertEqual(tickets, [30, 31, 32, None])

    def test_errors(self):
        with self.assertRaises(softpatch.Cancelled):
            self.context.fit([image(0)] * 4, progress=lambda *_: False, crop=64)
        with self.assertRaises(KeyError):
            self.context.fit([image(0)] * 4, progress=lambda *_: {}["x"], crop=64)
        with self.assertRaises(ValueError):
            self.detector.score(np.zeros((4, 4)))
        with self.assertRaises(softpatch.SoftpatchError) as caught:
            self.context.load("no/such/model")
        self.assertEqual(caught.exception.code, 6)
        with self.assertRaises(TypeError):
            self.context.fit([], crops=3)
        with self.assertRaises(ValueError):
            self.context.fit([], embedding="flat")
        with self.assertRaises(softpatch.SoftpatchError):
            softpatch.Context(layers=["layer2"])
        closed = self.context.load(self.detector.to_bytes())
        closed.close()
        with self.assertRaises(softpatch.SoftpatchError):
            closed.score(image(0))


if __name__ == "__main__":
    unittest.main()
