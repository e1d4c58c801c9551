"""Fits and benchmarks by Ray: whoever dies, and what is there already."""

import csv
import filecmp
import os
import subprocess
import unittest
import unittest.mock

import numpy as np
from clusters import murderous, place, ray, start, stop, untouched
from common import Case, image, save

import softpatch

PROGRAM = os.environ.get("SOFTPATCH_PROGRAM")
SETTINGS = {"size": 64, "coreset_ratio": 0.25}


class Painted(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.set = place(cls.addClassCleanup) / "set"
        command = [PROGRAM, "synth", cls.set, "--materials", "fabric,metal", "--size", "64"]
        command += ["--train", "6", "--test-good", "2", "--test-per-defect", "1", "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def setUp(self):
        self.place = place(self.addCleanup)


NEEDS = unittest.skipUnless(ray and PROGRAM, "there is no ray, or SOFTPATCH_PROGRAM does not name the program")


@NEEDS
class Mistakes(Painted):
    def test_mistakes_are_named_before_there_is_a_cluster(self):
        fit, bench, out = softpatch.ray.fit_many, softpatch.ray.bench, self.place / "out"
        empty, metal = self.place / "empty", self.set / "metal"
        empty.mkdir()
        for error, folders, how, words in [
            (ValueError, {}, {}, ["folders is {}"]),
            (NotADirectoryError, {"a": self.place / "nowhere"}, {}, ["a: ", "nowhere: there is no such folder"]),
            (FileNotFoundError, {"a": empty}, {}, ["a: ", "empty: the folder is empty"]),
            (ValueError, {"a/b": metal}, {}, ["'a/b' cannot be the name of a file"]),
            (ValueError, {"a": metal, "A": metal}, {}, ["'A': there is 'a' already"]),
            (TypeError, {"a": metal}, {"ratio": 1}, ["no setting ratio", "coreset_ratio"]),
            (TypeError, {"a": metal}, {"tau": "1"}, ["tau is '1'"]),
            (FileNotFoundError, {"a": metal}, {"evaluate": True, "program": "nowhere"}, ["no program softpatch at nowhere"]),
        ]:
            with untouched(), self.subTest(words=words):
                self.refused(error, lambda: fit(folders, out, **how), *words)
        for error, how, words in [
            (ValueError, {"noise": [2]}, ["the noise ratio 2 is not in 0..=1"]),
            (ValueError, {"cop": 64}, ["unexpected argument '--cop'"]),
            (ValueError, {"category": "wood"}, ["no category wood", "fabric, metal"]),
            (ValueError, {"methods": ["pitchcore"]}, ["no method pitchcore"]),
            (TypeError, {"device": 0}, ["device is no option here"]),
            (FileNotFoundError, {"program": "nowhere"}, ["no program softpatch at nowhere"]),
        ]:
            with untouched(), self.subTest(words=words):
                self.refused(error, lambda: bench(self.set, out, **how), *words)
        with untouched():
            self.refused(ValueError, lambda: bench(self.set, self.set / "out"), "lies inside", "choose a folder outside")
        self.assertFalse((self.set / "out").exists())
        with untouched():
            self.refused(ValueError, lambda: bench(empty, out), "empty")


@NEEDS
class Work(Painted):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        start()
        cls.addClassCleanup(stop)

    def test_a_model_for_each_folder_and_none_twice(self):
        plain, words = self.place / "plain", self.place / "words"
        plain.mkdir(), words.mkdir()
        for i in range(4):
            save(plain / f"{i}.ppm", image(i))
        (words / "readme.txt").write_text("no picture")
        folders = {"metal": self.set / "metal", "words": words, "plain": plain}
        program, mark = murderous(self.place, PROGRAM, "eval")
        out = self.place / "models"
        fit = lambda **more: softpatch.ray.fit_many(folders, out, program=program, **SETTINGS, **more)
        rows = fit()
        self.assertTrue(mark.exists())
        metal, words, plain_row = rows
        self.assertEqual([row["name"] for row in rows], list(folders))
        self.assertEqual((metal["pictures"], metal["error"], metal["kept"]), (6, None, False))
        self.assertTrue(0.5 < metal["image_auroc"] <= 1, metal)
        self.assertIn("there is none", words["error"])
        self.assertIsNone(words["model"])
        self.assertEqual((plain_row["pictures"], plain_row["error"], plain_row["image_auroc"]), (4, None, None))
        self.assertIn("not evaluated: ", plain_row["notes"])
        ours = softpatch.Detector.fit(self.set / "metal", **SETTINGS)
        theirs = softpatch.Detector.load(metal["model"])
        self.assertEqual(theirs.score(image(3)).score, ours.score(image(3)).score)
        self.assertEqual(np.float32(metal["threshold"]), np.float32(ours.threshold))
        self.assertEqual(metal["size"], os.path.getsize(metal["model"]))
        with open(out / "results.csv", newline="") as file:
            self.assertEqual([row["name"] for row in csv.DictReader(file)], list(folders))

        def made():
            return {path.name: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}

        before = made()
        self.assertEqual([row["kept"] for row in fit()], [True, False, True])
        self.assertEqual(made(), before)
        # Another picture, and another setting; a model that was damaged.
        save(plain / "0.ppm", image(9))
        self.assertEqual([row["kept"] for row in fit()], [True, False, False])
        (out / "metal.safetensors").write_bytes(b"half")
        del folders["words"], folders["plain"]
        self.assertEqual([row["kept"] for row in fit()], [False])
        self.assertEqual([row["kept"] for row in fit(lof_k=4)], [False])

    def test_the_tables_of_a_benchmark_are_those_of_one_run(self):
        options = {"noise": [0, 0.2], "protocol": "overlap", "crop": 64, "resize": 64, "coreset_ratio": 0.25}
        command = [PROGRAM, "bench", self.set, "--out", self.place / "one", "--noise=0,0.2", "--protocol=overlap"]
        command += ["--crop=64", "--resize=64", "--coreset-ratio=0.25", "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        program, mark = murderous(self.place, PROGRAM, "bench")
        with unittest.mock.patch("softpatch.ray._program.needed", return_value=str(PROGRAM)):
            # The look at the options calls the program, too: here it is not to die of it.
            done = softpatch.ray.bench(self.set, self.place / "many", program=program, **options)
        self.assertTrue(mark.exists())
        self.assertEqual((done.computed_last, len(done.cells)), (0, 8))
        for name in "results.csv", "results.json", "table.md":
            self.assertTrue(filecmp.cmp(self.place / "one" / name, self.place / "many" / name, shallow=False), name)
        self.assertEqual(done.table, (self.place / "one" / "table.md").read_text("utf-8"))
        # Of a run that was broken off, what is there is not computed again.
        cells = sorted((self.place / "many" / "cells").glob("*.json"))
        kept = {cell.name: cell.stat().st_mtime_ns for cell in cells[:5]}
        for cell in cells[5:]:
            cell.unlink()
        again = softpatch.ray.bench(self.set, self.place / "many", program=PROGRAM, by="noise", **options)
        self.assertEqual((again.computed_last, again.table), (0, done.table))
        now = {cell.name: cell.stat().st_mtime_ns for cell in (self.place / "many" / "cells").glob("*.json")}
        self.assertEqual(len(now), 8)
        self.assertEqual({name: now[name] for name in kept}, kept)


if __name__ == "__main__":
    unittest.main()
