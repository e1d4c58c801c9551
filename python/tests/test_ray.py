"""Scores by Ray: every picture has one row, whoever dies."""

import collections
import pathlib
import shutil
import unittest
import unittest.mock

import numpy as np
from clusters import killing, place, ray, start, untouched
from common import Case, defective, image, module, python, save

import softpatch

pillow = module("PIL.Image")


class Pictures(Case):
    def setUp(self):
        self.place = place(self.addCleanup)

    def folder(self, count):
        """Pictures, of which one is defective and one is no picture."""
        folder = self.place / "photos"
        (folder / "below").mkdir(parents=True)
        for i in range(count):
            save(folder / ("below" if i % 2 else ".") / f"{i:03}.ppm", defective(i) if i == 3 else image(100 + i))
        (folder / "broken.ppm").write_bytes(b"half a pict")
        (folder / "notes.txt").write_text("no picture")
        return folder


@unittest.skipUnless(ray, "there is no ray")
class Alone(Pictures):
    @unittest.skipUnless(pillow, "there is no Pillow")
    def test_files_are_read_as_the_fit_reads_them(self):
        from softpatch.ray._pictures import Pillow

        deep = (image(4).astype(np.uint16) << 8 | 37)[:, :, 0]
        pillow.fromarray(deep).save(self.place / "deep.png")
        pillow.fromarray(np.dstack([image(5), image(6)[:, :, :1]])).save(self.place / "alpha.png")
        pillow.fromarray(image(7)).quantize(16).save(self.place / "palette.png")
        turned = pillow.fromarray(image(8)[:40])
        exif = turned.getexif()
        exif[0x0112] = 6
        turned.save(self.place / "turned.png", exif=exif)
        read = lambda name, exif=False: Pillow(exif)((self.place / f"{name}.png").read_bytes(), name)
        np.testing.assert_array_equal(read("deep"), deep)
        self.assertEqual(self.detector.score(read("alpha")).score, self.detector.score(image(5)).score)
        self.assertEqual(read("palette").shape, image(7).shape)
        self.assertEqual((read("turned").shape[:2], read("turned", True).shape[:2]), ((40, 80), (80, 40)))

    def test_rows_are_kept_once_and_missing_pictures_named(self):
        import pyarrow as pa
        from softpatch.ray._rows import Rows, read

        schema = pa.schema([("number", pa.int64()), ("anomalous", pa.bool_()), ("error", pa.string())])
        of = lambda *numbers: pa.Table.from_pylist([{"number": n, "anomalous": n == 4} for n in numbers], schema=schema)
        paths = [f"{i}.png" for i in range(7)]
        rows = Rows(self.place, schema, 3, paths, "asked")
        for numbers in (5, 0), (2, 5, 5), (1, 4), (2,):
            rows.take(of(*numbers))
        self.assertEqual((len(rows), rows.repeated, rows.anomalous), (5, 3, 1))
        with self.assertRaisesRegex(softpatch.ray.Incomplete, "2 pictures have no row: 3.png, 6.png") as caught:
            rows.end()
        self.assertEqual(caught.exception.missing, ["3.png", "6.png"])
        # The next call has the whole file, and asks for the rest.
        again = Rows(self.place, schema, 3, paths, "asked")
        self.assertEqual((again.kept, again.missing()), (3, [3, 4, 5, 6]))
        again.take(of(6, 5, 4, 3))
        again.end()
        self.assertEqual(read(self.place).column("number").to_pylist(), list(range(7)))

    def test_mistakes_are_named_before_there_is_a_cluster(self):
        folder, empty, out = self.folder(2), self.place / "empty", self.place / "out"
        empty.mkdir()
        score = softpatch.ray.score
        good = {"batch": 4}
        for error, pictures, model, how, words in [
            (FileNotFoundError, self.place / "nowhere", self.detector, good, ["nowhere: there is no such file or folder"]),
            (FileNotFoundError, empty, self.detector, good, ["empty: holds no pictures", "png"]),
            (ValueError, [], self.detector, good, ["the list is empty"]),
            (ValueError, [folder, folder], self.detector, good, ["is named twice"]),
            (softpatch.SoftpatchError, folder, folder / "notes.txt", good, ["notes.txt: not a softpatch model"]),
            (softpatch.SoftpatchError, folder, b"nothing", good, ["not a softpatch model"]),
            (FileNotFoundError, folder, "no.safetensors", good, ["no.safetensors: there is no such model file"]),
            (TypeError, folder, 5, good, ["model is 5"]),
            (ValueError, folder, self.detector, {"batch": 0}, ["batch is 0; it takes 1 or more"]),
            (ValueError, folder, self.detector, {"concurrency": (3, 2)}, ["concurrency is (3, 2)"]),
            (ValueError, folder, self.detector, {"num_gpus": -1}, ["num_gpus is -1"]),
            (ValueError, folder, self.detector, {"order": "gbr"}, ["order is 'gbr'", "rgb"]),
            (ValueError, folder, self.detector, {"send_model": "path"}, ["the model is not one"]),
            (TypeError, folder, self.detector, {"context": {"adaptor": 1}}, ["context has no option adaptor", "adapter"]),
            (TypeError, folder, self.detector, {"bath": 4}, ["bath"]),
        ]:
            with untouched(), self.subTest(words=words):
                self.refused(error, lambda: score(pictures, model, out, **how), *words)
        self.assertFalse(out.exists())
        shutil.rmtree(empty)


@unittest.skipUnless(ray, "there is no ray")
class Scores(Pictures):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        start()

    def test_every_picture_has_one_row_whoever_dies(self):
        folder, marks = self.folder(29), self.place / "marks"
        marks.mkdir()
        killers = ["004.ppm", "013.ppm", "027.ppm"]
        how = {"batch": 4, "concurrency": 2, "rows_per_file": 8, "decode": killing(marks, killers)}
        done = softpatch.ray.score(folder, self.detector, self.place / "out", **how)
        self.assertEqual(len(list(marks.iterdir())), 3)
        self.assertEqual((done.pictures, done.errors, done.kept, done.repeated), (30, 1, 0, 0))
        rows = done.table.to_pylist()
        paths = sorted(str(path) for path in folder.rglob("*.ppm"))
        self.assertEqual(collections.Counter(row["path"] for row in rows), collections.Counter(paths))
        self.assertEqual([row["number"] for row in rows], list(range(30)))
        for row in rows:
            name = pathlib.Path(row["path"]).stem
            if name == "broken":
                self.assertIn("no PPM file", row["error"])
                self.assertIsNone(row["score"])
                continue
            want = self.detector.score(defective(3) if name == "003" else image(100 + int(name)))
            self.assertEqual(row["score"], want.score)
            self.assertEqual((row["anomalous"], row["calibrated"], row["error"]), (want.anomalous, want.calibrated, None))
            self.assertEqual((row["peak_x"], row["peak_y"]), want.peak)

        # What is there is not made again, and what is made again is the same.
        self.assertEqual([file.name for file in done.files], [f"part-{part:05}.parquet" for part in range(4)])
        before = [file.read_bytes() for file in done.files]
        with untouched():
            self.assertEqual(softpatch.ray.score(folder, self.detector, self.place / "out", **how).kept, 30)
        done.files[2].unlink()
        again = softpatch.ray.score(folder, self.detector, self.place / "out", **how)
        self.assertEqual((again.pictures, again.kept, again.errors), (30, 22, 1))
        self.assertEqual([file.read_bytes() for file in done.files], before)
        with untouched():
            # Other pictures, another model.
            save(folder / "new.ppm", image(7))
            other = lambda: softpatch.ray.score(folder, self.detector, self.place / "out", **how)
            self.refused(FileExistsError, other, "another model, other pictures or other settings")

    def test_a_data_set_of_arrays_gets_regions_and_maps(self):
        bad = defective()
        images = [image(1), bad, np.ascontiguousarray(image(2)[:70]), np.zeros((0, 4, 3), np.uint8)]
        data = ray.data.from_items([{"what": one, "id": f"n{i}"} for i, one in enumerate(images)], override_num_blocks=2)
        how = {"image": "what", "name": "id", "regions": True, "maps": self.place / "maps", "batch": 2, "concurrency": 1}
        model = self.place / "model"
        self.detector.save(model)
        done = softpatch.ray.score(data, model, self.place / "out", send_model="path", **how)
        rows = {row["path"]: row for row in done.table.to_pylist()}
        self.assertEqual(sorted(rows), ["n0", "n1", "n2", "n3"])
        self.assertIn("no pixels", rows["n3"]["error"])
        for i in range(3):
            want, row = self.detector.score(images[i], map="source"), rows[f"n{i}"]
            self.assertEqual((row["score"], row["peak_x"], row["peak_y"]), (want.score, *want.peak))
            self.assertEqual(np.load(row["map"]).tobytes(), want.map.tobytes())
            boxes = [tuple(region[side] for side in ("x", "y", "width", "height")) for region in row["regions"]]
            self.assertEqual(boxes, [region.bbox for region in want.regions])
        self.assertTrue(rows["n1"]["regions"])
        missing = lambda: softpatch.ray.score(data, model, self.place / "other")
        self.refused(ValueError, missing, "no column 'image', but what, id")


class Without(unittest.TestCase):
    def test_without_ray_the_package_says_what_to_install(self):
        done = python("import sys; sys.modules['ray'] = None; import softpatch; import softpatch.ray")
        self.assertRegex(done.stderr, r"needs (ray|pyarrow)\S*, which is not installed: pip install 'softpatch\[ray\]'")


if __name__ == "__main__":
    unittest.main()
