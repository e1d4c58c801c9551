"""Results that show themselves."""

import base64
import pathlib
import struct
import tempfile
import unittest
import zlib

import numpy as np
import softpatch
from common import SIDE, SMALL, Case, defective, image, module, save
from softpatch._pictures import overlay

pillow = module("PIL.Image")


def read_png(data):
    """Pixels of a PNG file as softpatch writes it."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (size,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        assert struct.pack(">I", zlib.crc32(kind + body)) == data[at + 8 + size : at + 12 + size]
        chunks[kind], at = body, at + 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert set(rows[:, 0]) == {2}
    return np.cumsum(rows[:, 1:], 0, np.uint8).reshape(height, width, 3)


class Shows(Case):
    def test_png_files_hold_their_pixels(self):
        rng = np.random.default_rng(0)
        for height, width in ((1, 1), (1, 7), (9, 1), (40, 33)):
            pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
            data = softpatch.Picture(pixels).png()
            np.testing.assert_array_equal(read_png(data), pixels)
            if pillow:
                with tempfile.TemporaryDirectory() as folder:
                    path = pathlib.Path(folder) / "a.png"
                    softpatch.Picture(pixels).save(path)
                    np.testing.assert_array_equal(np.asarray(pillow.open(path)), pixels)

    def test_scores_show_their_map(self):
        bad = defective()
        score = self.detector.score(bad, map="source")
        alone, over = read_png(score._repr_png_()), score.heatmap(bad).pixels
        self.assertEqual((alone.shape, over.shape), (bad.shape, bad.shape))
        x, y = score.peak
        self.assertGreater(int(alone[y, x].sum()), int(alone[2, 2].sum()) + 200)
        self.assertTrue((over[y, x] != bad[y, x]).any())
        # What is normal stays as it was, and a line goes around the rest.
        map = np.zeros((SIDE, SIDE), np.float32)
        map[20:60, 20:60] = np.hanning(40)[:, None] * np.hanning(40)
        drawn = overlay(bad, map, (0.3, 1.0), 0.5).pixels
        np.testing.assert_array_equal(drawn[map < 0.3], bad[map < 0.3])
        self.assertTrue((drawn[40, 40] != bad[40, 40]).any())
        line = int(np.argmin(np.abs(map[40] - 0.5)))
        self.assertTrue((drawn[40, line, 1:] > 180).all(), drawn[40, line])
        # Other orders and depths of the same image.
        for same, order in ((bad[:, :, ::-1], "bgr"), (np.dstack([bad, bad[:, :, 0]]), "rgb")):
            np.testing.assert_array_equal(score.heatmap(same, order).pixels, over)
        grey = bad[:, :, 1]
        deep = grey.astype(np.uint16) * 257
        np.testing.assert_array_equal(score.heatmap(grey).pixels, score.heatmap(deep).pixels)
        np.testing.assert_array_equal(np.asarray(softpatch.Picture(over)), over)
        # Maps of another size, and none.
        grid = self.detector.score(bad, map="grid")
        self.assertEqual(grid.heatmap().pixels.shape, (8, 8, 3))
        self.refused(ValueError, lambda: grid.heatmap(bad), "(8, 8)", "map='source'")
        none = self.detector.score(bad)
        self.assertIsNone(none._repr_png_())
        self.refused(ValueError, lambda: none.regions, "map='source'")
        # A model without a threshold, and values that are no numbers.
        copies = softpatch.Detector.fit([image(0)] * 4, **SMALL).score(bad, map="source")
        copies.map[0, 0] = np.nan
        self.assertEqual(copies.heatmap(bad).pixels.shape, bad.shape)

    def test_explanations_and_audits_show_themselves(self):
        bad = defective()
        why = self.detector.explain(bad, places=2)
        pixels = read_png(why._repr_png_())
        x, y, width, height = why["places"][0]["bbox"]
        np.testing.assert_array_equal(pixels[y, x], [64, 255, 255])
        self.assertTrue((pixels != bad).any(2).sum() < 4 * (width + height) * 2)
        page = why._repr_html_()
        self.assertIn(f"score {why['score']:.4g}", page)
        # Notebooks show the one or the other.
        self.assertIn(base64.b64encode(why._repr_png_()).decode(), page)
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder)
            for i in range(4):
                save(place / f"<{i}>.ppm", image(i))
            found = softpatch.audit(place, all=True, **SMALL)
            page = found._repr_html_()
            self.assertIn("4 images", page)
            # Names are no markup.
            self.assertTrue("&lt;3&gt;.ppm" in page and "<3>" not in page)
            named = self.detector.explain(place / "<0>.ppm")
            shown = named._repr_png_()
            if pillow:
                self.assertEqual(read_png(shown).shape, (SIDE, SIDE, 3))
            # One that is gone shows no picture, and is no error.
            named = self.detector.explain(place / "<1>.ppm")
        self.assertIsNone(named._repr_png_())


if __name__ == "__main__":
    unittest.main()
