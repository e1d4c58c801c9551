"""The life of a model: audit, fit, calibration, explanation, edits."""

import pathlib
import tempfile
import unittest

import numpy as np
import softpatch
from common import SMALL, Case, defective, image, save


class Models(Case):
    def test_the_life_of_a_model(self):
        bad = defective()
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            for kind, seeds in {"train": range(8), "good": range(100, 119)}.items():
                (place / kind).mkdir()
                for i in seeds:
                    save(place / kind / f"{i}.ppm", image(i))
            save(place / "train" / "odd.ppm", bad)
            model, edited = place / "model", place / "edited"

            calls = []
            found = softpatch.audit(place / "train", progress=lambda *w: calls.append(w), all=True, **SMALL)
            self.assertEqual({c[0] for c in calls}, {"features", "denoise", "distances"})
            first, second = found["images"][:2]
            self.assertTrue(first["name"].endswith("odd.ppm") and first["suspect"], found["images"])
            self.assertGreater(first["suspicion"], 10 * second["suspicion"])
            self.assertGreaterEqual(found["contaminated"]["count"], 1)
            with self.assertRaises(softpatch.Cancelled):
                softpatch.audit(place / "train", progress=lambda *_: False, all=True, **SMALL)
            with self.assertRaises(KeyError):
                softpatch.audit(place / "train", progress=lambda *_: {}["x"], all=True, **SMALL)

            softpatch.Detector.fit(place / "train", all=True, target_fpr=0.2, tau=0.15, **SMALL).save(model)
            # Of 19 good images, the largest score is the threshold of a twentieth.
            found = softpatch.ModelFile(model).calibrate(place / "good", 0.05)
            self.assertEqual([found["at_threshold"][n] for n in ("good", "false_alarms")], [19, 0])
            detector = softpatch.Detector.load(model)
            threshold = detector.info["threshold"]
            self.assertEqual(threshold, found["threshold"])
            self.assertAlmostEqual(detector.calibrated(threshold), 0.95, places=5)
            self.assertLess(detector.calibrated(0), detector.calibrated(2 * threshold))
            self.refused(
                softpatch.SoftpatchError, lambda: softpatch.ModelFile(model).calibrate(place / "train"), "training images"
            )
            self.refused(
                softpatch.SoftpatchError, lambda: softpatch.ModelFile(model).calibrate(place / "good", 0.7), "target"
            )

            score = detector.score(bad)
            why = detector.explain(bad, places=1, neighbours=2)
            self.assertTrue(why["anomalous"] and np.float32(why["score"]) == np.float32(score.score))
            x, y, width, height = why["places"][0]["bbox"]
            self.assertTrue(22 <= x + width // 2 < 54 and 22 <= y + height // 2 < 54, why["places"])
            self.assertEqual(len(why["places"][0]["neighbours"]), 2)
            named = detector.explain(place / "train" / "odd.ppm", images=place / "train")
            self.assertTrue(named["places"][0]["neighbours"][0]["path"].endswith(".ppm"), named)
            self.assertEqual(named["model"], str(model))
            self.refused(softpatch.SoftpatchError, lambda: detector.explain(bad, places=0), "places is 0", "1 to 9")

            self.refused(softpatch.SoftpatchError, detector.verify, "reference")
            self.assertEqual(softpatch.ModelFile(model).keep_references(place / "train", all=True)["references"], 8)
            found = softpatch.Detector.load(model).verify()
            self.assertTrue(found["ok"] and found["verdict_flips"] == 0 and found["largest_difference"] <= found["bound"])

            rows = softpatch.ModelFile(model).info["rows"]
            gone = softpatch.ModelFile(model).remove_image("3.ppm", edited)
            self.assertEqual((gone["edit"]["what"], gone["rows"]), ("remove-image", rows - gone["edit"]["removed"]))
            allowed = softpatch.ModelFile(edited).allow(bad, name="alarm")
            self.assertEqual((allowed["was_anomalous"], allowed["anomalous"]), (True, False))
            self.assertFalse(softpatch.Detector.load(edited).score(bad).anomalous)
            denied = softpatch.ModelFile(edited).deny(bad, name="defect", at_most=0.9, region=(30, 30, 16, 16))
            self.assertEqual((denied["anomalous"], denied["rows_of"][0][0]), (True, "alarm"))
            edits = [e["what"] for e in softpatch.ModelFile(edited).history]
            self.assertEqual(edits, ["calibrate", "remove-image", "allow", "deny"])
            undone = [softpatch.ModelFile(edited).undo()["edit"]["what"] for _ in range(3)]
            self.assertEqual(undone, ["deny", "allow", "remove-image"])
            self.assertEqual(edited.read_bytes(), model.read_bytes())
            self.assertEqual(softpatch.ModelFile(edited).undo()["edit"]["image"], "19 good pictures")
            self.assertIsNone(softpatch.ModelFile(edited).info["references"])
            self.refused(
                softpatch.SoftpatchError, lambda: softpatch.ModelFile(edited).undo(), "edited", "no edit to take back"
            )
            self.refused(TypeError, lambda: softpatch.ModelFile(edited).allow(bad), "name is None")
            self.refused(TypeError, lambda: softpatch.ModelFile(edited).allow(bad, name="a", region=3), "region is 3")
            self.refused(ValueError, lambda: softpatch.ModelFile(edited).deny(bad, name="a", at_most=1), "at_most is 1")

    def test_edits_of_a_detector_are_those_of_its_file(self):
        bad = defective()
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            (place / "good").mkdir()
            for i in range(100, 119):
                save(place / "good" / f"{i}.ppm", image(i))
            detector = softpatch.Detector.fit([image(i) for i in range(8)], **SMALL)
            before, stream = detector.to_bytes(), detector.stream()
            was = detector.score(bad)
            self.assertTrue(was.anomalous)
            # As of a file, where the same is done in the same order.
            detector.save(place / "model")
            file = softpatch.ModelFile(place / "model")
            found = detector.calibrate(place / "good", 0.05)
            self.assertEqual(found["threshold"], file.calibrate(place / "good", 0.05)["threshold"])
            self.assertEqual(np.float32(found["threshold"]), np.float32(detector.threshold))
            self.assertFalse(detector.allow(bad, name="alarm")["anomalous"])
            file.allow(bad, name="alarm")
            self.assertFalse(detector.score(bad).anomalous)
            self.assertEqual(detector.score(bad).score, softpatch.Detector.load(place / "model").score(bad).score)
            # What was there before goes on: a stream, and the regions of a score.
            self.assertEqual(stream.submit(bad).result().score, was.score)
            stream.close()
            self.assertEqual([e["what"] for e in detector.history], ["calibrate", "allow"])
            self.assertTrue(detector.deny(bad, name="defect", at_most=0.9, region=(30, 30, 16, 16))["anomalous"])
            self.assertEqual(detector.remove_image(detector.info["images"][3])["edit"]["what"], "remove-image")
            self.assertEqual(detector.keep_references(place / "good", all=True)["references"], 8)
            self.assertTrue(detector.verify()["ok"])
            for _ in range(4):
                detector.undo()
            self.assertEqual((detector.history, detector.score(bad).score), ([], was.score))
            self.assertEqual(detector.to_bytes(), before)
            # What is left out is left out over an edit, too.
            mask = np.zeros((80, 80), np.uint8)
            mask[20:56, 20:56] = 255
            (place / "mask.pgm").write_bytes(b"P5 80 80 255\n" + mask.tobytes())
            detector.ignore(place / "mask.pgm")
            masked = detector.score(bad).score
            self.assertLess(masked, was.score)
            detector.keep_references(place / "good", all=True)
            self.assertEqual(detector.score(bad).score, masked)
            detector.ignore(None)
            self.assertEqual(detector.score(bad).score, was.score)
            self.refused(softpatch.SoftpatchError, lambda: detector.undo(), "no edit to take back")


if __name__ == "__main__":
    unittest.main()
