"""Fits and scores: of arrays of every layout and depth, of folders, with settings."""

import os
import tempfile
import unittest

import numpy as np
import softpatch
from common import SIDE, Case, image
from softpatch._images import _narrowed


class Scores(Case):
    def test_fit_reports_and_describes(self):
        self.assertEqual({c[0] for c in self.calls}, {"features", "denoise", "coreset", "calibrate"})
        self.assertEqual(self.detector.info["options"]["crop"], 64)
        self.assertEqual(len(self.detector.info["images"]), 6)
        self.assertGreaterEqual(len(softpatch.adapters()), 1)
        self.assertIn("adapter", softpatch.Context.default().info)

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
        self.assertEqual([r.bbox for r in source.regions], [r.bbox for r in regions])
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
            got = [
                self.detector.score(deep, map="grid", bits=bits),
                self.detector.score(np.dstack([deep] * 3), "grid", bits=bits),
            ]
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
        detector = softpatch.Detector.fit(deep, crop=64, resize=64, coreset_ratio=0.25, bits=12)
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
                softpatch.Detector.fit(folder, **small)
            with self.assertLogs("softpatch", "WARNING") as said:
                detector = softpatch.Detector.fit(folder, take=["fine"], **small)
            self.assertTrue(any("12 significant bits" in line for line in said.output), said.output)
            self.assertEqual(len(detector.info["images"]), 4)
            # The bits that were found are those of arrays, too.
            self.assertEqual(detector.info["options"]["bits"], 12)
            flat = _narrowed(deep, 12)
            self.assertEqual(detector.score(deep).score, detector.score(flat).score)
            self.assertEqual(len(softpatch.Detector.fit(folder, all=True, **small).info["images"]), 8)
            with self.assertRaises(softpatch.SoftpatchError) as caught:
                softpatch.Detector.fit(folder, layout="vista", **small)
            self.assertEqual(caught.exception.code, 3)

    def test_settings_arrive(self):
        detector = softpatch.Detector.fit(
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
            again = [softpatch.Detector.load(path), softpatch.Detector.load(self.detector.to_bytes())]
        want = self.detector.score(image(9), map="frame")
        for detector in again:
            np.testing.assert_array_equal(detector.score(image(9), map="frame").map, want.map)


if __name__ == "__main__":
    unittest.main()
