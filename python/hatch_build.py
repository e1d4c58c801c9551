"""How wheel and source distribution are made: cargo builds the shared library of capi/, which goes into the package; the wheel is
for every Python and one platform. The source distribution holds the Rust sources below rust/, so that a wheel can be built
from it as from a clone."""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

HERE = Path(__file__).resolve().parent
# In a source distribution, else the clone.
RUST = HERE / "rust" if (HERE / "rust").is_dir() else HERE.parent
# What cargo wants to see of the workspace, and what the licences of its crates are collected with.
SOURCES = (
    *("Cargo.toml", "Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT", "NOTICE", "README.md", "src", "shaders", "weights"),
    *("capi", "cli", "benches", "examples", "include", "packaging", "tests"),
)
LICENCES = ("LICENSE-APACHE", "LICENSE-MIT", "NOTICE", "weights/LICENSE-APACHE-2.0")
# Built file, and its name in the package.
NAMES = {
    "win32": ("softpatch_capi.dll", "softpatch.dll"),
    "darwin": ("libsoftpatch_capi.dylib", "libsoftpatch.dylib"),
}
# Libraries that the rules for manylinux let a wheel ask the system for.
SYSTEM = re.compile(rb"(libc|libm|libdl|librt|libpthread|libutil|libgcc_s|ld-linux[-\w]*)\.so\.\d+")


def version() -> str:
    """The version of the workspace."""
    found = re.search(r'^version = "(.*)"$', (RUST / "Cargo.toml").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def elf(file: bytes) -> tuple[list[bytes], bytes]:
    """Of a shared library of 64 bit: the libraries that it asks for, and all names that the loader reads."""
    start, size, count = *struct.unpack_from("<Q", file, 32), *struct.unpack_from("<HH", file, 54)
    # Kind, place in the file, address, bytes in the file.
    parts = [
        (kind, *where) for kind, *where in (struct.unpack_from("<I4xQQ8xQ", file, start + i * size) for i in range(count))
    ]
    (dynamic,) = [file[at : at + length] for kind, at, _, length in parts if kind == 2]
    entries = [struct.unpack_from("<QQ", dynamic, i) for i in range(0, len(dynamic) - 15, 16)]
    address, length = (next(value for tag, value in entries if tag == wanted) for wanted in (5, 10))
    (at,) = [at + address - begin for kind, at, begin, part in parts if kind == 1 and begin <= address < begin + part]
    names = file[at : at + length]
    return [names[value : names.index(b"\0", value)] for tag, value in entries if tag == 1], names


def platform_tag(library: Path) -> str:
    """The oldest system that a wheel with this library runs on, by what the library asks for."""
    if sys.platform == "darwin":
        # What rustc builds for unless told otherwise.
        least = os.environ.get("MACOSX_DEPLOYMENT_TARGET") or ("11.0" if platform.machine() == "arm64" else "10.12")
        major, minor, *_ = [*least.split("."), "0"]
        return f"macosx_{major}_{0 if int(major) >= 11 else minor}_{platform.machine()}"
    tag = re.sub(r"[-.]", "_", sysconfig.get_platform())
    if not tag.startswith("linux_"):
        return tag
    needed, names = elf(library.read_bytes())
    versions = [int(minor) for minor in re.findall(rb"\bGLIBC_2\.(\d+)", names)]
    if not versions or not all(SYSTEM.fullmatch(name) for name in needed):
        return tag
    return f"manylinux_2_{max(17, *versions)}_{tag.removeprefix('linux_')}"


class MetadataHook(MetadataHookInterface):
    """What hatchling calls before it looks at the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Brings the licences to where `license-files` of pyproject.toml, which knows nothing above it, finds them."""
        for name in LICENCES:
            (HERE / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(RUST / name, HERE / name)


class BuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls before it packs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the library for a wheel, and adds the Rust sources to a source distribution."""
        if self.target_name == "sdist":
            build_data["force_include"] |= {str(RUST / name): f"rust/{name}" for name in SOURCES}
            return
        library, name = self.library()
        build_data["pure_python"], build_data["tag"] = False, f"py3-none-{platform_tag(library)}"
        if version == "editable":
            shutil.copyfile(library, HERE / "src" / "softpatch" / name)
        else:
            crates = library.parent / "THIRD-PARTY.txt"
            subprocess.run([sys.executable, RUST / "packaging" / "third_party.py", crates], check=True)
            licences = f"softpatch-{self.metadata.version}.dist-info/licenses"
            build_data["force_include"] |= {str(library): f"softpatch/{name}", str(crates): f"{licences}/{crates.name}"}

    def library(self) -> tuple[Path, str]:
        """The shared library that cargo built, and its name in the package."""
        built, name = NAMES.get(sys.platform, ("libsoftpatch_capi.so", "libsoftpatch.so"))
        cargo = os.environ.get("CARGO", "cargo")
        if shutil.which(cargo) is None:
            sys.exit("softpatch's library is built by Rust, and there is no cargo: https://rustup.rs, or install a wheel")
        target = Path(os.environ.get("CARGO_TARGET_DIR") or RUST / "target").absolute()
        command = [cargo, "rustc", "--release", "--locked", "-p", "softpatch-capi", "--lib", "--crate-type", "cdylib"]
        subprocess.run([*command, "--target-dir", target], cwd=RUST, check=True)
        return target / "release" / built, name
