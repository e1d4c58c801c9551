"""Scores and maps are those of the program, bit by bit, on the same adapter. SOFTPATCH_PROGRAM names it."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
import softpatch
from common import PYTHON, Case, defective, image, module, save

pillow = module("PIL.Image")
PROGRAM = os.environ.get("SOFTPATCH_PROGRAM")
if not PROGRAM:
    print("skipped: SOFTPATCH_PROGRAM does not name the program")


class Program(Case):
    @unittest.skipUnless(PROGRAM, "SOFTPATCH_PROGRAM does not name the program")
    def test_scores_and_maps_are_those_of_the_program(self):
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            images = {"a": image(70), "b": defective(71), "c": image(72, 150)[:, 10:111]}
            (place / "new").mkdir()
            for name, pixels in images.items():
                save(place / "new" / f"{name}.ppm", pixels)
            self.detector.save(place / "model")
            adapter = str(softpatch.adapters()[0]["index"])
            command = [PROGRAM, "score", place / "model", place / "new", "--json", "--device", adapter, "--quiet"]
            command += ["--maps", place / "maps", "--heatmaps", place / "heatmaps"]
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            found = json.loads(done.stdout)
            found = {pathlib.Path(one["path"]).stem: one for one in found["images"]}
            for name, pixels in images.items():
                score = self.detector.score(pixels, map="source")
                self.assertEqual(np.float32(found[name]["score"]), np.float32(score.score))
                self.assertEqual(found[name]["anomalous"], score.anomalous)
                self.assertEqual(np.load(found[name]["map"]).tobytes(), score.map.tobytes())
                # Heatmaps are drawn alike; their sums may be rounded otherwise.
                if pillow:
                    drawn = np.asarray(pillow.open(found[name]["heatmap"]).convert("RGB")).astype(int)
                    self.assertLessEqual(np.abs(drawn - score.heatmap(pixels).pixels).max(), 1)

    @unittest.skipUnless(PROGRAM, "SOFTPATCH_PROGRAM does not name the program")
    def test_a_fit_is_that_of_the_program(self):
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            (place / "train").mkdir()
            for i in range(5):
                save(place / "train" / f"{i}.ppm", image(i))
            adapter = str(softpatch.adapters()[0]["index"])
            command = [PROGRAM, "fit", place / "train", "-o", place / "model", "--size", "64", "--no-references", "--quiet"]
            done = subprocess.run([*command, "--device", adapter], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            theirs, ours = softpatch.Detector.load(place / "model"), softpatch.Detector.fit(place / "train", size=64)
            want, got = theirs.score(defective(), map="frame"), ours.score(defective(), map="frame")
            self.assertEqual(want.map.tobytes(), got.map.tobytes())
            self.assertEqual((want.score, theirs.threshold), (got.score, ours.threshold))

    def test_the_version_is_that_of_the_library(self):
        manifest = (PYTHON.parent / "Cargo.toml").read_text("utf-8")
        self.assertIn(f'\nversion = "{softpatch.__version__}"\n', manifest)


if __name__ == "__main__":
    unittest.main()
