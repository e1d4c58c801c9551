"""Tests of softpatch.py: SOFTPATCH_LIBRARY=path/to/libsoftpatch.so python tools/test_softpatch_py.py"""

import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import softpatch

try:
    import PIL.Image
except ImportError:
    PIL = None

SIDE = 80
SMALL = {"crop": 64, "resize": 64, "coreset_ratio": 0.25}


def image(seed, side=SIDE):
    rng = np.random.default_rng(seed)
    stripes = 100 + 40 * np.sin(np.arange(side) / 3)[:, None, None]
    return (stripes + rng.normal(0, 5, (side, side, 3))).clip(0, 255).astype(np.uint8)


def save(path, pixels):
    path.write_bytes(b"P6\n%d %d\n255\n" % pixels.shape[1::-1] + pixels.tobytes())


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
        self.assertEqual({c[0] for c in self.calls}, {"features", "denoise", "coreset", "calibrate"})
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

    def test_peaks_and_regions_lie_in_the_image(self):
        bad = image(50)
        bad[40:60, 20:36] = 255
        source = self.detector.score(bad, map="source")
        row, column = np.unravel_index(np.argmax(source.map), source.map.shape)
        self.assertEqual(source.peak, (column, row))
        for kind in None, "grid":
            x, y = self.detector.score(bad, map=kind).peak
            self.assertTrue(abs(x - column) <= 12 and abs(y - row) <= 12, (x, y, column, row))
        with self.detector.stream(map="source") as stream:
            self.assertEqual([s.peak for s in stream.scores([bad])], [source.peak])

        threshold = self.detector.info["pixel_threshold"]
        regions = self.detector.regions(source.map)
        self.assertEqual(sum(r.area for r in regions), int((source.map > np.float32(threshold)).sum()))
        self.assertEqual(sorted(regions, key=lambda r: -r.area), regions)
        for region in regions:
            x, y, width, height = region.bbox
            self.assertEqual(source.map[region.peak_at[::-1]], np.float32(region.peak))
            np.testing.assert_array_equal(region.contour.min(0), (x, y))
            np.testing.assert_array_equal(region.contour.max(0), (x + width, y + height))
        self.assertEqual(self.detector.regions(source.map, threshold=1e30), [])
        one = np.zeros((3, 4), np.float32)
        one[1, 2] = 5
        (region,) = self.detector.regions(one, threshold=1)
        self.assertEqual((region.bbox, region.area, region.peak, region.peak_at), ((2, 1, 1, 1), 1, 5.0, (2, 1)))
        np.testing.assert_array_equal(region.contour, [(2, 1), (3, 1), (3, 2), (2, 2)])
        self.refused(ValueError, lambda: self.detector.regions(one[0]), "height, width")

    def test_layouts_agree(self):
        rgb = image(7)
        want = self.detector.score(rgb, map="frame")
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
            got = self.detector.score(array, map="frame", order=order)
            np.testing.assert_array_equal(got.map, want.map)
        grey = rgb[:, :, 0]
        a = self.detector.score(grey, map="grid")
        b = self.detector.score(grey.astype(np.uint16) * 257, map="grid")
        np.testing.assert_array_equal(a.map, b.map)
        self.assertEqual(a.map.shape, (8, 8))

    def test_depths_agree(self):
        rng = np.random.default_rng(3)
        for bits, format in [(10, "gray10"), (12, "gray12"), (14, "gray14"), (9, None), (16, "gray16")]:
            most = (1 << bits) - 1
            deep = rng.integers(0, most + 1, (SIDE, SIDE + 1), np.uint16)
            flat = np.floor(deep * 255.0 / most + 0.5).astype(np.uint8)
            want = self.detector.score(flat, map="grid").map
            got = [self.detector.score(deep, map="grid", bits=bits), self.detector.score(np.dstack([deep] * 3), "grid", bits=bits)]
            got += [self.detector.score(deep.astype(">u2"), map="grid", bits=bits)]
            if format:
                got.append(self.detector.score(softpatch.Frame(deep.tobytes(), SIDE + 1, SIDE, format), map="grid"))
            for score in got:
                np.testing.assert_array_equal(score.map, want)
            if bits < 16:
                deep[7, 9] = most + 1
                for bad in (deep, np.dstack([deep] * 4)):
                    with self.assertRaises((softpatch.SoftpatchError, ValueError)) as caught:
                        self.detector.score(bad, bits=bits)
                    self.assertIn(str(most + 1), str(caught.exception))
        # Both pixels of a pair of Mono12Packed are 0xabc.
        packed = softpatch.Frame(b"\xab\xcc\xab" * (SIDE * SIDE // 2), SIDE, SIDE, "mono12_packed")
        want = self.detector.score(np.full((SIDE, SIDE), 0xABC, np.uint16), map="grid", bits=12).map
        np.testing.assert_array_equal(self.detector.score(packed, map="grid").map, want)

    def test_mosaics_have_their_colours(self):
        for order, red in [("bayer_rg", (0, 0)), ("bayer_gr", (0, 1)), ("bayer_gb", (1, 0)), ("bayer_bg", (1, 1))]:
            # A plain colour comes out of its mosaic as it was.
            mosaic = np.full((SIDE, SIDE), 90, np.uint8)
            mosaic[red[0] :: 2, red[1] :: 2] = 200
            mosaic[1 - red[0] :: 2, 1 - red[1] :: 2] = 30
            plain = np.zeros((SIDE, SIDE, 3), np.uint8) + np.array([200, 90, 30], np.uint8)
            want = self.detector.score(plain, map="grid").map
            np.testing.assert_array_equal(self.detector.score(mosaic, map="grid", order=order).map, want)

    def test_the_bits_of_a_fit_are_those_of_its_scores(self):
        deep = [(image(i)[:, :, 0].astype(np.uint32) * 4095 // 255).astype(np.uint16) for i in range(4)]
        detector = self.context.fit(deep, crop=64, resize=64, coreset_ratio=0.25, bits=12)
        self.assertEqual(detector.info["options"]["bits"], 12)
        want = detector.score(deep[0], map="grid", bits=12).map
        np.testing.assert_array_equal(detector.score(deep[0], map="grid").map, want)
        with detector.stream(map="grid") as stream:
            for score in stream.scores(deep[:1]):
                np.testing.assert_array_equal(score.map, want)
        self.assertFalse(np.array_equal(detector.score(deep[0], map="grid", bits=16).map, want))

    def test_a_folder_is_opened_as_told(self):
        small = {"crop": 64, "resize": 64, "coreset_ratio": 0.25}
        with tempfile.TemporaryDirectory() as folder:
            for kind in ("fine", "torn"):
                os.mkdir(os.path.join(folder, kind))
                for i in range(4):
                    # Values of 12 bit in a file that has room for 16.
                    deep = (image(i)[:, :, 0].astype(np.uint16) * 16).astype(">u2")
                    with open(os.path.join(folder, kind, f"{i}.pgm"), "wb") as file:
                        file.write(b"P5 %d %d 65535\n" % (SIDE, SIDE) + deep.tobytes())
            with self.assertRaises(softpatch.ChoiceError):
                self.context.fit(folder, **small)
            with self.assertLogs("softpatch", "WARNING") as said:
                detector = self.context.fit(folder, take=["fine"], **small)
            self.assertTrue(any("12 significant bits" in line for line in said.output), said.output)
            self.assertEqual(len(detector.info["images"]), 4)
            # The bits that were found are those of arrays, too.
            self.assertEqual(detector.info["options"]["bits"], 12)
            flat = softpatch._narrowed(deep, 12)
            self.assertEqual(detector.score(deep).score, detector.score(flat).score)
            self.assertEqual(len(self.context.fit(folder, all=True, **small).info["images"]), 8)
            with self.assertRaises(softpatch.SoftpatchError) as caught:
                self.context.fit(folder, layout="vista", **small)
            self.assertEqual(caught.exception.code, 3)

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
        want = self.detector.score(image(9), map="frame")
        for detector in again:
            np.testing.assert_array_equal(detector.score(image(9), map="frame").map, want.map)

    def test_the_life_of_a_model(self):
        bad = image(50)
        bad[30:46, 30:46] = [255, 0, 0]
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            for kind, seeds in {"train": range(8), "good": range(100, 119)}.items():
                (place / kind).mkdir()
                for i in seeds:
                    save(place / kind / f"{i}.ppm", image(i))
            save(place / "train" / "odd.ppm", bad)
            model, edited = place / "model", place / "edited"

            calls = []
            found = self.context.audit(place / "train", progress=lambda *w: calls.append(w), all=True, **SMALL)
            self.assertEqual({c[0] for c in calls}, {"features", "denoise", "distances"})
            first, second = found["images"][:2]
            self.assertTrue(first["name"].endswith("odd.ppm") and first["suspect"], found["images"])
            self.assertGreater(first["suspicion"], 10 * second["suspicion"])
            self.assertGreaterEqual(found["contaminated"]["count"], 1)
            with self.assertRaises(softpatch.Cancelled):
                self.context.audit(place / "train", progress=lambda *_: False, all=True, **SMALL)
            with self.assertRaises(KeyError):
                self.context.audit(place / "train", progress=lambda *_: {}["x"], all=True, **SMALL)

            self.context.fit(place / "train", all=True, target_fpr=0.2, tau=0.15, **SMALL).save(model)
            # Of 19 good images, the largest score is the threshold of a twentieth.
            found = self.context.calibrate(model, place / "good", 0.05)
            self.assertEqual([found["at_threshold"][n] for n in ("good", "false_alarms")], [19, 0])
            detector = self.context.load(model)
            threshold = detector.info["threshold"]
            self.assertEqual(threshold, found["threshold"])
            self.assertAlmostEqual(detector.calibrated(threshold), 0.95, places=5)
            self.assertLess(detector.calibrated(0), detector.calibrated(2 * threshold))
            self.refused(softpatch.SoftpatchError, lambda: self.context.calibrate(model, place / "train"), "training images")
            self.refused(softpatch.SoftpatchError, lambda: self.context.calibrate(model, place / "good", 0.7), "target")

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
            self.assertEqual(self.context.keep_references(model, place / "train", all=True)["references"], 8)
            found = self.context.load(model).verify()
            self.assertTrue(found["ok"] and found["verdict_flips"] == 0 and found["largest_difference"] <= found["bound"])

            rows = softpatch.model_info(model)["rows"]
            gone = softpatch.remove_image(model, "3.ppm", edited)
            self.assertEqual((gone["edit"]["what"], gone["rows"]), ("remove-image", rows - gone["edit"]["removed"]))
            allowed = self.context.allow(edited, bad, name="alarm")
            self.assertEqual((allowed["was_anomalous"], allowed["anomalous"]), (True, False))
            self.assertFalse(self.context.load(edited).score(bad).anomalous)
            denied = self.context.deny(edited, bad, name="defect", at_most=0.9, region=(30, 30, 16, 16))
            self.assertEqual((denied["anomalous"], denied["rows_of"][0][0]), (True, "alarm"))
            edits = [e["what"] for e in softpatch.history(edited)]
            self.assertEqual(edits, ["calibrate", "remove-image", "allow", "deny"])
            undone = [softpatch.undo(edited)["edit"]["what"] for _ in range(3)]
            self.assertEqual(undone, ["deny", "allow", "remove-image"])
            self.assertEqual(edited.read_bytes(), model.read_bytes())
            self.assertEqual(softpatch.undo(edited)["edit"]["image"], "19 good pictures")
            self.assertIsNone(softpatch.model_info(edited)["references"])
            self.refused(softpatch.SoftpatchError, lambda: softpatch.undo(edited), "edited", "no edit to take back")
            self.refused(TypeError, lambda: self.context.allow(edited, bad), "name is None")
            self.refused(TypeError, lambda: self.context.allow(edited, bad, name="a", region=3), "region is 3")
            self.refused(ValueError, lambda: self.context.deny(edited, bad, name="a", at_most=1), "at_most is 1")

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

    def refused(self, error, call, *words):
        """The call raises the error, whose text has all these words."""
        with self.assertRaises(error) as caught:
            call()
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_a_frame_that_is_none_ends_no_stream_silently(self):
        frames, start = [image(i) for i in range(4)], time.monotonic()
        for place in range(5):
            with self.detector.stream(limit=2) as stream:
                got = []
                with self.assertRaises(TypeError) as caught:
                    for score in stream.scores(frames[:place] + [None] + frames[place:]):
                        got.append(score.ticket)
                self.assertIn(f"frame {place} is None", str(caught.exception))
                self.assertIn("cv2.imread", str(caught.exception))
                # Those before it have their scores, and nothing is left for what comes next.
                self.assertEqual((got, stream.in_flight()), (list(range(place)), 0))
                self.assertEqual([s.ticket for s in stream.scores(iter(frames[:1]))], [place])
                self.refused(TypeError, lambda: stream.submit(None), "the frame is None")
                for wrong in (None, "a.jpg", frames[0]):
                    self.refused(TypeError, lambda: list(stream.scores(wrong)), "frames is ", "a list of images")
        # Nobody waits for a stream with nothing in flight, which would take a minute.
        self.assertLess(time.monotonic() - start, 50)

    def test_what_is_no_image_is_told_what_an_image_is(self):
        score, fit = self.detector.score, lambda images: self.context.fit(images, **SMALL)
        how = ("uint8", "[height, width]", "np.asarray(PIL.Image.open(path))")
        for wrong in ("a.jpg", pathlib.Path("a.jpg")):
            self.refused(TypeError, lambda: score(wrong), "a.jpg", *how)
            self.refused(TypeError, lambda: score([image(0), wrong]), "images[1] is ", "a.jpg", *how)
            self.refused(TypeError, lambda: fit([image(0), wrong]), "images[1] is ", "a.jpg", *how)
        for wrong, name in ((b"\xff\xd8", "bytes"), (5, "int")):
            self.refused(TypeError, lambda: score(wrong), name, *how)
            self.refused(TypeError, lambda: fit(wrong), name, "a list of images")
        self.refused(TypeError, lambda: score(None), "the image is None", "cv2.imread")
        self.refused(TypeError, lambda: fit([image(0), None]), "images[1] is None", "cv2.imread")
        self.refused(TypeError, lambda: fit(None), "images is None")
        self.refused(ValueError, lambda: score([image(0), image(0) / 255]), "images[1] is (80, 80, 3) of float64")
        # One image is not taken for a list of its rows.
        for wrong in (image(0), image(0)[:, :, 0]):
            self.refused(TypeError, lambda: fit(wrong), "a list of images")

    def test_images_are_what_numpy_makes_an_array_of(self):
        class Array:
            def __array__(self, dtype=None, copy=None):
                return image(7)

        want = self.detector.score(image(7)).score
        self.assertEqual(self.detector.score(Array()).score, want)
        self.assertEqual([s.score for s in self.detector.score([Array()])], [want])
        self.assertEqual([s.score for s in self.detector.score(np.stack([image(7)] * 2))], [want] * 2)
        grey = np.stack([image(i)[:, :, 0] for i in range(4)])
        self.assertEqual(len(self.context.fit(grey, **SMALL).info["images"]), 4)

    @unittest.skipUnless(PIL, "there is no Pillow")
    def test_images_of_pillow(self):
        rgb = image(7)
        picture, deep = PIL.Image.fromarray(rgb), rgb[:, :, 0].astype(np.uint16) * 257
        want = self.detector.score(rgb, map="grid").map
        for order in ("rgb", "bgr"):
            np.testing.assert_array_equal(self.detector.score(picture, "grid", order).map, want)
        for array in (rgb[:, :, 0], deep, np.dstack([rgb, rgb[:, :, 0]])):
            got = self.detector.score([PIL.Image.fromarray(array)], "grid")[0].map
            np.testing.assert_array_equal(got, self.detector.score(array, "grid").map)
        pictures = [PIL.Image.fromarray(image(i)) for i in range(4)]
        self.assertEqual(len(self.context.fit(pictures, **SMALL).info["images"]), 4)
        # Their arrays look like grey or like RGBA, and are neither.
        for mode in ("P", "CMYK", "YCbCr", "1"):
            self.refused(ValueError, lambda: self.detector.score(picture.convert(mode)), repr(mode), 'convert("RGB")')
        self.refused(ValueError, lambda: self.detector.score([picture.convert("I")]), "images[0]", "uint16")

    def test_wrong_settings_are_named(self):
        def fit(**settings):
            return lambda: self.context.fit([image(0)] * 4, **settings)

        maps = ("map is 'full'", "None", "'grid'", "'frame'", "'source'")
        self.refused(ValueError, lambda: self.detector.score(image(0), map="full"), *maps)
        self.refused(ValueError, lambda: self.detector.stream(map="full"), *maps)
        known = {name for name, _ in softpatch._FitOptions._fields_} - {"struct_size"} | {"order", "progress"}
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
            paths = {"PYTHONPATH": os.path.dirname(softpatch.__file__), "SOFTPATCH_LIBRARY": library}
            command = [sys.executable, "-c", "import softpatch"]
            done = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            return done.stderr.strip().splitlines()[-1]

        with tempfile.TemporaryDirectory() as folder:
            text = said(os.path.join(folder, "libsoftpatch.so"))
        for word in ("ImportError", "libsoftpatch.so", "set SOFTPATCH_LIBRARY", "packaging/install.sh PREFIX"):
            self.assertIn(word, text)
        # One that is another library, here NumPy's.
        other = sys.modules["numpy._core._multiarray_umath"].__file__
        text = said(other)
        self.assertIn("ImportError", text)
        self.assertIn(os.path.basename(other), text)

    def test_errors(self):
        with self.assertRaises(softpatch.Cancelled):
            self.context.fit([image(0)] * 4, progress=lambda *_: False, crop=64)
        with self.assertRaises(KeyError):
            self.context.fit([image(0)] * 4, progress=lambda *_: {}["x"], crop=64)
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


@unittest.skipUnless(hasattr(os, "fork"), "processes fork on Unix alone")
class Forked(unittest.TestCase):
    """Children of a process that has used the library: an error at once, and no end that waits for ever."""

    def child(self, code, timeout=30):
        """What a process prints whose child runs `code`; both have to end in time."""
        program = f"""
import logging, multiprocessing, os, sys
import numpy as np, softpatch
logging.disable()  # what the fit has to say of its images
image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
context = softpatch.Context()
detector = context.fit([image] * 4, crop=64, resize=64, coreset_ratio=0.25)
stream = detector.stream()
stream.submit(image)
def worker(_):
    return detector.score(image).score
{code}
"""
        environment = {**os.environ, "PYTHONPATH": os.path.dirname(softpatch.__file__), "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=timeout + 60
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    # The parent waits for its child for half a minute at most.
    WAIT = """
import time
for _ in range(1500):
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        print("status", status)
        break
    time.sleep(0.02)
else:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    print("it hangs")
print("parent", detector.score(image).score >= 0)
"""

    def test_every_call_says_so(self):
        said = self.child(
            """
pid = os.fork()
if pid == 0:
    calls = [
        lambda: softpatch.adapters(), lambda: softpatch.Context(), lambda: context.info, lambda: context.load(b"x"),
        lambda: context.fit([image]), lambda: detector.info, lambda: detector.to_bytes(), lambda: detector.save("x"),
        lambda: detector.score(image), lambda: detector.stream(), lambda: stream.submit(image), lambda: stream.wait(),
        lambda: stream.in_flight(), lambda: next(stream.scores([image])), lambda: detector.calibrated(1),
        lambda: detector.explain(image), lambda: detector.verify(), lambda: context.audit("x"), lambda: softpatch.undo("x"),
        lambda: context.calibrate("x", "x"), lambda: context.allow("x", "x"), lambda: softpatch.model_info("x"),
    ]
    for call in calls:
        try:
            call()
            print("no error")
        except softpatch.ForkedError as error:
            assert error.code == 19 and "spawn" in str(error) and "forked" in str(error), error
    for one in (stream, detector, context):
        one.close()
    print("refused", flush=True)
    os._exit(0)
"""
            + self.WAIT
        )
        self.assertEqual(said, "refused\nstatus 0\nparent True\n")

    def test_a_child_ends_as_it_likes(self):
        for end in ("os._exit(0)", "sys.exit(0)", "del stream, detector, context; sys.exit(0)"):
            said = self.child(f"pid = os.fork()\nif pid == 0:\n    {end}\n{self.WAIT}")
            self.assertEqual(said, "status 0\nparent True\n", end)

    def test_workers_that_fork_pass_the_error_on(self):
        said = self.child(
            """
with multiprocessing.get_context("fork").Pool(2) as pool:
    try:
        pool.map_async(worker, [1, 2]).get(30)
    except softpatch.ForkedError as error:
        print(error.code)
"""
        )
        self.assertEqual(said, "19\n")


if __name__ == "__main__":
    unittest.main()
