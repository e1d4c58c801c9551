#!/usr/bin/env python3
"""Writes the licences of all crates that the library contains, with their texts, from the crates' own packages.

    packaging/third_party.py OUTPUT [CARGO OPTIONS...]     e.g. --no-default-features --features vulkan

The crates must be here (`cargo fetch`). NOTICE names what is no crate: weights and font.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

TEXTS = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense|authors)", re.IGNORECASE)
ROOT = Path(__file__).resolve().parent.parent


def metadata(options):
    host = subprocess.check_output(["rustc", "-vV"], text=True)
    host = re.search(r"^host: (.*)$", host, re.MULTILINE)[1]
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--format-version", "1", "--locked", "--offline"]
    return json.loads(subprocess.check_output([*command, "--filter-platform", host, *options], cwd=ROOT / "capi"))


def linked(data):
    """Ids of the crates below the C library, without what only tests and build scripts use."""
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    found, open = set(), [data["resolve"]["root"]]
    while open:
        at = open.pop()
        for dep in nodes[at]["deps"]:
            if dep["pkg"] not in found and any(kind["kind"] is None for kind in dep["dep_kinds"]):
                found.add(dep["pkg"])
                open.append(dep["pkg"])
    return found


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    data = metadata(sys.argv[2:])
    wanted = linked(data) - set(data["workspace_members"])
    packages = sorted((p for p in data["packages"] if p["id"] in wanted), key=lambda p: (p["name"], p["version"]))
    used_by, without = {}, []
    for package in packages:
        folder = Path(package["manifest_path"]).parent
        files = [f for f in sorted(folder.iterdir()) if f.is_file() and TEXTS.match(f.name)]
        if package["license_file"]:
            files.append(folder / package["license_file"])
        name = f"{package['name']} {package['version']}"
        for text in {f.read_text("utf-8", "replace").strip() for f in files}:
            used_by.setdefault(text, []).append(name)
        if not files:
            without.append(package)
    lines = ["Crates that softpatch contains, with their licences", ""]
    lines += [f"{p['name']} {p['version']}: {p['license']}, {p['repository'] or 'no repository'}" for p in packages]
    if without:
        strange = [p["name"] for p in without if "Apache-2.0" not in re.split(r"[ /()]+", p["license"] or "")]
        if strange:
            sys.exit(f"no text of their licence, and not Apache-2.0: {', '.join(strange)}")
        lines += ["", "These hold no text of their licence; that of Apache-2.0 below stands for it:"]
        lines += [f"{p['name']} {p['version']}: {', '.join(p['authors']) or 'no authors named'}" for p in without]
        used_by.setdefault((ROOT / "LICENSE-APACHE").read_text().strip(), [])
    for text, names in sorted(used_by.items(), key=lambda item: (-len(item[1]), item[0])):
        lines += ["", "-" * 100, *([", ".join(names), ""] if names else []), text]
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n")
    print(f"{sys.argv[1]}: {len(packages)} crates, {len(used_by)} texts")


if __name__ == "__main__":
    main()
