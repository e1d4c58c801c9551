"""The wheel and the source distribution, built with a library that is there already: what is in them, and what they say."""

import os
import pathlib
import platform
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile

import softpatch
from common import PYTHON, environment, module
from softpatch._library import library

hatchling = module("hatchling")
# Stands in for cargo where it would build, which takes minutes.
CARGO = """#!/bin/sh
[ "$1" = rustc ] && exit 0
exec {} "$@"
"""
LICENCES = {"LICENSE-APACHE", "LICENSE-MIT", "NOTICE", "THIRD-PARTY.txt", "weights/LICENSE-APACHE-2.0"}


@unittest.skipUnless(hatchling, "there is no hatchling")
@unittest.skipUnless(sys.platform == "linux", "elsewhere cargo has no stand-in")
class Wheel(unittest.TestCase):
    def build(self, target, folder, source=PYTHON):
        """Builds one of the two in a folder; its file."""
        place = pathlib.Path(folder)
        (place / "target" / "release").mkdir(parents=True, exist_ok=True)
        built = place / "target" / "release" / "libsoftpatch_capi.so"
        if not built.exists():
            built.symlink_to(library._name)
        cargo = place / "cargo"
        cargo.write_text(CARGO.format(os.environ.get("CARGO", "cargo")))
        cargo.chmod(0o755)
        env = environment(CARGO=str(cargo), CARGO_TARGET_DIR=str(place / "target"))
        command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(place / "dist")]
        done = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        (file,) = (place / "dist").iterdir()
        return file

    def test_a_wheel_holds_the_package_and_licences_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as folder:
            file = self.build("wheel", folder)
            version = softpatch.__version__
            name, found, python, abi, tag = file.stem.split("-")
            self.assertEqual((name, found, python, abi), ("softpatch", version, "py3", "none"))
            # Not newer than this system, which has loaded the library.
            self.assertRegex(tag, rf"^manylinux_2_\d+_{platform.machine()}$")
            self.assertLessEqual(int(tag.split("_")[2]), int(platform.libc_ver()[1].split(".")[1]))
            with zipfile.ZipFile(file) as wheel:
                names = set(wheel.namelist())
                about = f"softpatch-{version}.dist-info"
                package = pathlib.Path(softpatch.__file__).parent
                sources = {f"softpatch/{p.relative_to(package).as_posix()}" for p in package.rglob("*.py")}
                self.assertEqual(
                    names,
                    sources
                    | {"softpatch/py.typed", "softpatch/libsoftpatch.so"}
                    | {f"{about}/{one}" for one in ("METADATA", "WHEEL", "RECORD")}
                    | {f"{about}/licenses/{one}" for one in LICENCES},
                )
                said = wheel.read(f"{about}/METADATA").decode()
                for line in (
                    "Requires-Dist: numpy>=1.23",
                    "Requires-Python: >=3.10",
                    "License-Expression: MIT OR Apache-2.0",
                ):
                    self.assertIn(f"\n{line}\n", said)
                self.assertIn("Root-Is-Purelib: false", wheel.read(f"{about}/WHEEL").decode())
                self.assertIn("wgpu", wheel.read(f"{about}/licenses/THIRD-PARTY.txt").decode())
                wheel.extractall(pathlib.Path(folder) / "installed")
            program = "import softpatch; print(softpatch.__version__, softpatch._library.library._name)"
            env = {**environment(), "PYTHONPATH": str(pathlib.Path(folder) / "installed")}
            env.pop("SOFTPATCH_LIBRARY", None)
            done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
            self.assertEqual(done.stdout.split(), [version, f"{folder}/installed/softpatch/libsoftpatch.so"], done.stderr)

    def test_a_source_distribution_holds_what_cargo_needs(self):
        with tempfile.TemporaryDirectory() as folder:
            file = self.build("sdist", folder)
            with tarfile.open(file) as sources:
                names = sources.getnames()
                sources.extractall(folder)
            top = pathlib.Path(folder) / f"softpatch-{softpatch.__version__}"
            self.assertFalse([n for n in names if n.endswith((".so", ".pyc")) or "__pycache__" in n or "/target/" in n])
            cargo = [
                os.environ.get("CARGO", "cargo"),
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--offline",
                "--no-deps",
            ]
            done = subprocess.run(cargo, cwd=top / "rust", capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            # A wheel from it is built from it alone, and is the same.
            file.unlink()
            again = self.build("wheel", folder, top)
            with zipfile.ZipFile(again) as wheel:
                self.assertIn(f"softpatch-{softpatch.__version__}.dist-info/licenses/NOTICE", wheel.namelist())


if __name__ == "__main__":
    unittest.main()
