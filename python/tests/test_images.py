"""What is an image, what is none, and that none is copied."""

import pathlib
import tracemalloc
import unittest

import numpy as np
import softpatch
from common import SMALL, Case, image, module

pillow = module("PIL.Image")
torch = module("torch")
cv2 = module("cv2")


class Images(Case):
    def test_what_is_no_image_is_told_what_an_image_is(self):
        score, fit = self.detector.score, lambda images: softpatch.Detector.fit(images, **SMALL)
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
        self.assertEqual(len(softpatch.Detector.fit(grey, **SMALL).info["images"]), 4)

    @unittest.skipUnless(pillow, "there is no Pillow")
    def test_images_of_pillow(self):
        rgb = image(7)
        picture, deep = pillow.fromarray(rgb), rgb[:, :, 0].astype(np.uint16) * 257
        want = self.detector.score(rgb, map="grid").map
        for order in ("rgb", "bgr"):
            np.testing.assert_array_equal(self.detector.score(picture, "grid", order).map, want)
        for array in (rgb[:, :, 0], deep, np.dstack([rgb, rgb[:, :, 0]])):
            got = self.detector.score([pillow.fromarray(array)], "grid")[0].map
            np.testing.assert_array_equal(got, self.detector.score(array, "grid").map)
        pictures = [pillow.fromarray(image(i)) for i in range(4)]
        self.assertEqual(len(softpatch.Detector.fit(pictures, **SMALL).info["images"]), 4)
        # Their arrays look like grey or like RGBA, and are neither.
        for mode in ("P", "CMYK", "YCbCr", "1"):
            self.refused(ValueError, lambda: self.detector.score(picture.convert(mode)), repr(mode), 'convert("RGB")')
        self.refused(ValueError, lambda: self.detector.score([picture.convert("I")]), "images[0]", "uint16")

    @unittest.skipUnless(torch, "there is no PyTorch")
    def test_tensors_of_pytorch(self):
        rgb = image(7)
        tensor = torch.from_numpy(rgb.copy())
        want = self.detector.score(rgb, map="grid").map
        np.testing.assert_array_equal(self.detector.score(tensor, map="grid").map, want)
        np.testing.assert_array_equal(self.detector.score(tensor.permute(2, 0, 1).permute(1, 2, 0), map="grid").map, want)
        self.refused(ValueError, lambda: self.detector.score(tensor.permute(2, 0, 1)), "permute(1, 2, 0)")
        self.refused(ValueError, lambda: self.detector.score(tensor.float() / 255), "float32")

    @unittest.skipUnless(cv2, "there is no OpenCV")
    def test_images_of_opencv(self):
        rgb = image(7)
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        want = self.detector.score(rgb, map="grid").map
        np.testing.assert_array_equal(self.detector.score(bgr, map="grid", order="bgr").map, want)

    def test_buffers_and_tensors_of_others(self):
        class Tensor:
            """All that a library without NumPy has."""

            def __init__(self, array):
                self.array, self.shape = array, array.shape

            def __iter__(self):
                raise AssertionError("it is one image")

            def __dlpack__(self, **how):
                return self.array.__dlpack__(**how)

            def __dlpack_device__(self):
                return self.array.__dlpack_device__()

        for array in (image(7), image(7)[:, :, 0].copy(), image(7)[:, :, 0].astype(np.uint16) * 257):
            want = self.detector.score(array, map="grid").map
            for other in (Tensor(array), memoryview(array)):
                np.testing.assert_array_equal(self.detector.score(other, map="grid").map, want)
        self.refused(ValueError, lambda: self.detector.score(np.moveaxis(image(7), 2, 0)), "permute(1, 2, 0)")

    def test_no_image_is_copied_where_its_rows_are_packed(self):
        wide = np.zeros((1500, 1700, 4), np.uint8)
        deep, grey, packed = wide[:, :, 0].astype(np.uint16), wide[:, :, 0].copy(), bytes(1500 * 1700 * 3 // 2)
        alike = [
            (wide, "rgb"), (wide[10:-20, 30:-40], "bgr"), (wide[::2], "rgb"), (wide[:, :, :3].copy()[5:, 7:], "rgb"),
            (deep, "rgb"), (deep[3:, 5:], "rgb"), (grey, "rgb"), (grey[3:, 5:], "bayer_rg"), (memoryview(grey), "rgb"),
            (softpatch.Frame(packed, 1700, 1500, "mono12_packed"), "rgb"),
        ]  # fmt: skip
        for picture, order in alike:
            self.detector.score(picture, order=order)
            tracemalloc.start()
            self.detector.score(picture, order=order)
            with self.detector.stream(order=order) as stream:
                stream.submit(picture).result()
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.assertLess(most, 200_000, picture)
        # It would be seen: a copy takes what the picture takes.
        tracemalloc.start()
        self.detector.score(wide[:, ::2])
        self.assertGreater(tracemalloc.get_traced_memory()[1], wide.nbytes // 2)
        tracemalloc.stop()


if __name__ == "__main__":
    unittest.main()
