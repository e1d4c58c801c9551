"""What documents say holds: examples of docstrings, blocks of the README files, the notebook, types."""

import contextlib
import doctest
import importlib
import io
import json
import logging
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import softpatch
from common import PYTHON, Case, environment, module

pillow = module("PIL.Image")
nbclient = module("nbclient") and module("ipykernel")
mypy = module("mypy")
ray = module("ray")


@contextlib.contextmanager
def elsewhere():
    """A folder to work in."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield pathlib.Path(folder)
        finally:
            os.chdir(before)


def cells(notebook):
    """The sources of a notebook's cells of code."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run_cells(notebook):
    """Runs a notebook's cells in one namespace, and shows what each ends with; what a cell raises is raised."""
    names, shown = {"__name__": "__main__"}, []
    for number, source in enumerate(cells(notebook)):
        *lines, last = source.splitlines()
        try:
            value = compile(last, f"cell {number}", "eval")
        except SyntaxError:
            exec(compile(source, f"cell {number}", "exec"), names)
            continue
        exec(compile("\n".join(lines), f"cell {number}", "exec"), names)
        result = eval(value, names)
        shown += [result._repr_png_() if hasattr(result, "_repr_png_") else repr(result)]
    return shown


class Documents(Case):
    def test_examples_of_docstrings(self):
        # What comes first in the package's own, the others go on from.
        first = doctest.DocTestParser().get_doctest(softpatch.__doc__, {}, "softpatch", None, 0)
        with elsewhere():
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            told = io.StringIO()
            runner.run(first, out=told.write, clear_globs=False)
            found = 0
            for info in pkgutil.iter_modules(softpatch.__path__, "softpatch."):
                if info.name == "softpatch.ray" and not ray:
                    continue
                for test in doctest.DocTestFinder().find(importlib.import_module(info.name), globs={}):
                    if test.examples:
                        test.globs = dict(first.globs)
                        found += 1
                        runner.run(test, out=told.write)
        self.assertEqual(runner.failures, 0, told.getvalue())
        self.assertGreaterEqual(found, 10)

    @unittest.skipUnless(pillow, "there is no Pillow")
    def test_blocks_of_the_readme_files(self):
        def part(seed, bad=False):
            rng = np.random.default_rng(seed)
            pixels = (np.sin(np.arange(96) / 4)[:, None, None] * 40 + 120 + rng.normal(0, 4, (96, 96, 3))).astype(np.uint8)
            if bad:
                pixels[40:60, 40:60] = 255
            return pillow.fromarray(pixels)

        for file in (PYTHON / "README.md", PYTHON.parent / "README.md"):
            blocks = re.findall(r"^```python\n(.*?)^```", file.read_text("utf-8"), re.MULTILINE | re.DOTALL)
            self.assertTrue(blocks, file)
            with elsewhere() as folder:
                for name, seeds in (
                    ("parts/train/good", range(8)),
                    ("parts/test/good", range(20, 40)),
                    ("photos/good", range(8)),
                ):
                    (folder / name).mkdir(parents=True)
                    for seed in seeds:
                        part(seed).save(folder / name / f"{seed:03}.png")
                part(99, True).save(folder / "new.png")
                names, logger = {"__name__": "__main__"}, logging.getLogger("softpatch")
                logger.disabled, said = True, io.StringIO()
                try:
                    with contextlib.redirect_stdout(said):
                        for block in blocks:
                            exec(compile(block, str(file), "exec"), names)
                finally:
                    logger.disabled = False
                if file.parent == PYTHON:
                    self.assertTrue((folder / "heatmap.png").is_file())
                self.assertIn("True", said.getvalue(), file)

    def test_the_notebook(self):
        """Where there is no Jupyter, as it would run there."""
        (file,) = (PYTHON / "examples").glob("*.ipynb")
        notebook = json.loads(file.read_text("utf-8"))
        self.assertTrue(all(not cell.get("outputs") for cell in notebook["cells"]), "outputs are not kept in the repository")
        with self.assertRaises(ZeroDivisionError):
            run_cells({"cells": [{"cell_type": "code", "source": ["a = 0\n", "1 / a"]}]})
        if not nbclient:
            with elsewhere(), contextlib.redirect_stderr(io.StringIO()):
                shown = run_cells(notebook)
            self.assertGreaterEqual(sum(isinstance(one, bytes) for one in shown), 3)

    @unittest.skipUnless(nbclient, "there is no Jupyter")
    def test_the_notebook_in_jupyter(self):
        import nbformat

        (file,) = (PYTHON / "examples").glob("*.ipynb")
        notebook = nbformat.read(file, 4)
        with elsewhere() as folder:
            # The kernel has this interpreter and package.
            os.environ.update(environment())
            how = {"timeout": 120, "kernel_name": "python3", "resources": {"metadata": {"path": str(folder)}}}
            module("nbclient").NotebookClient(notebook, **how).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        self.assertGreaterEqual(sum("image/png" in output.get("data", ()) for output in outputs), 3)

    @unittest.skipUnless(mypy, "there is no mypy")
    def test_types(self):
        package = pathlib.Path(softpatch.__file__).parent
        self.assertTrue((package / "py.typed").is_file())
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "--cache-dir", cache]
            done = subprocess.run(
                [*command, str(package), str(PYTHON / "tests" / "typed.py")],
                capture_output=True,
                text=True,
                env=environment(),
            )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_files_stay_small(self):
        for file in sorted((*PYTHON.rglob("*.py"),)):
            with self.subTest(file.name):
                self.assertLess(len(file.read_text("utf-8").splitlines()), 400, file)


if __name__ == "__main__":
    unittest.main()
