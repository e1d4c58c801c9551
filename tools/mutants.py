#!/usr/bin/env python3
"""Mutation testing of the host code of fit, bank, search and coreset: which mistakes would the tests notice?

    tools/mutants.py [--keep FOLDER] [NUMBER...]

All mistakes of the list below are built into one copy of the sources, each behind its number, so that the tests are
compiled once; a run of them with MUTANT=NUMBER has that mistake. Prints a line a mutant: caught, and by which tests, or
survived. Works in a temporary folder, or in FOLDER, whose builds are used again. Standard library alone.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# Tests in the order in which they are asked, quick ones first: a test program, and modules of it.
ASKED = [
    ("lib", []),
    ("method", ["golden_method::", "floors::", "tree::", "groups::", "numbers::"]),
    ("method", ["mend::", "end_to_end::", "region::", "calibrate::", "shards::", "explain::", "results::", "compat::"]),
    ("method", ["lost::", "plan::", "bench::", "audit::", "memory::", "hostile::", "same_bits::"]),
    ("kernels", ["bands::", "limits::", "coreset::", "nearest::", "others::"]),
]

# File, what is there, and the mistake in its place: expressions, each found once in its file.
MUTANTS = [
    ("src/detector/fit.rs", "denoised.scores[*row as usize].max(0.0)", "1.0"),
    ("src/detector/fit.rs", "[row / positions, row % positions / columns, row % positions % columns]",
     "[row / positions, row % positions % columns, row % positions / columns]"),
    ("src/detector/fit.rs", "start_samples(open, options.seed)", "start_samples(open, options.seed ^ 1)"),
    ("src/detector/fit.rs", "bytes > most", "bytes > 1e30"),
    ("src/detector/fit.rs", "wanted.min(denoised.kept.len())", "wanted"),
    ("src/detector/fit.rs", "(0..rows.len()).filter(kept).map(|i| rows[i]).collect()", "rows"),
    ("src/detector/fit.rs", "options.coreset_ratio.min(kept)", "options.coreset_ratio"),
    ("src/detector/denoise.rs", "select(device, &scores, total, 1.0 - options.tau)?", "select(device, &scores, total, 1.0)?"),
    ("src/detector/denoise.rs", "select(device, &on_device, looked_at.len() as u32, 1.0 - tau)?",
     "select(device, &on_device, looked_at.len() as u32, 1.0)?"),
    ("src/detector/denoise.rs", "looked_at[at as usize]", "at"),
    ("src/detector/denoise.rs", "options.discriminator.is_lof().then_some(width)", "Some(width)"),
    ("src/detector/calibrate.rs", "t + 1", "t + 2"),
    ("src/detector/calibrate.rs", "left.retain(|left| left.score.is_finite())", "left.retain(|_| true)"),
    ("src/detector/calibrate.rs", "left.sort_unstable_by_key(|left| left.image)", "left.truncate(usize::MAX)"),
    ("src/detector/calibrate.rs", "robust_threshold(peaks).ok()", "robust_threshold(scores).ok()"),
    ("src/detector/threshold.rs", "centre + DEVIATIONS * spread", "centre + DEVIATIONS * spread / 2.0"),
    ("src/detector/threshold.rs", "finite.len() < 3", "finite.len() < 2"),
    ("src/detector/threshold.rs", "spread <= ROUNDING * centre", "spread < 0.0"),
    ("src/detector/threshold.rs", "(values[half - 1] + values[half]) / 2.0", "values[half]"),
    ("src/detector/threshold.rs", "scores.iter().copied().filter(|s| s.is_finite()).collect()", "scores.to_vec()"),
    ("src/detector/threshold.rs", "(i * images / count) as u32", "i as u32"),
    ("src/detector/leave_one_out.rs", "SkipOwn { first_image: image, queries_per_image: positions as u32 }",
     "SkipOwn { first_image: u32::MAX - 9, queries_per_image: positions as u32 }"),
    ("src/detector/leave_one_out.rs", "self.search.cover(&self.device, looked_at)", "()"),
    ("src/detector/leave_one_out.rs", "map[largest(map)]", "map[0]"),
    ("src/detector/floors.rs", "(9 * tops.len()).div_ceil(10)", "tops.len()"),
    ("src/detector/floors.rs", "top.min(f32::MAX)", "*top"),
    ("src/detector/features.rs", "*n > k", "*n >= k"),
    ("src/detector/features.rs", "(false, _) => *score = 0.0", "(false, _) => *score = 1.0"),
    ("src/bank/edit.rs", "!leaves[i / width]", "!leaves[i / width] || i == 0"),
    ("src/bank/edit.rs", "self.floors.resize(self.weights.len(), 0.0)", "self.floors.resize(self.weights.len(), 1.0)"),
    ("src/bank/edit.rs", "!ascending || !sizes", "!sizes"),
    ("src/bank/edit.rs", "filter(|left| *left > 0)", "filter(|_| true)"),
    ("src/bank/edit.rs", "*left += u32::from(!leaves)", "*left += 1"),
    ("src/bank/edit.rs", "self.index.take().zip(order).map(|(Index { axes, .. }, order)| Index { axes, order })", "self.index.take()"),
    ("src/bank/mod.rs", "self.order.len() == rows && self.order.iter().all(fresh)", "self.order.iter().all(fresh)"),
    ("src/bank/mod.rs", "if self.floors.is_empty() { &[] } else { &self.floors[..rows] }", "&self.floors[..0]"),
    ("src/bank/mod.rs", "Some(Index { axes, order: bank.order().to_vec() })", "None"),
    ("src/bank/tree.rs", "low[i].min(v)", "low[i].max(v)"),
    ("src/bank/tree.rs", "rows.len().div_ceil(tile) / 2 * tile", "rows.len() / 2"),
    ("src/bank/axes.rs", "axes.len() <= dim.min(MOST)", "true"),
    ("src/bank/axes.rs", "(0..=i).all(|j| near(i, j))", "near(i, i)"),
    ("src/bank/device.rs", "data.floors.get(number as usize).copied().unwrap_or(0.0)", "0.0"),
    ("src/bank/device.rs", "[row, data.row_image[row as usize]]", "[row, data.row_image[0]]"),
    ("src/bank/device.rs", "row_image.get(row as usize).copied().unwrap_or(u32::MAX)", "row_image[0]"),
    ("src/bank/device.rs", "q > buffers.queries || queries.end > buffers.of", "q > buffers.queries"),
    ("src/bank/device.rs", "2 * queries.start as usize", "0"),
    ("src/bank/device.rs", "if *inside { f32::INFINITY } else { 0.0 }.to_bits()", "f32::INFINITY.to_bits()"),
    ("src/bank/device.rs", "order.len() != rows || order.iter().any(|&row| row as usize >= rows)", "order.len() != rows"),
    ("src/bank/select.rs", "samples.iter().map(|&s| row(s)).collect()", "samples.to_vec()"),
    ("src/bank/select.rs", "near[c] > 0", "near[c] > 1"),
    ("src/bank/select.rs", "(first, piece.min(rows - first))", "(first, (piece.min(rows - first) - 1).max(1))"),
    ("src/steps/coreset/samples.rs", "!drawn.contains(&position)", "true"),
    ("src/steps/coreset/samples.rs", "kept <= START_SAMPLES", "kept < START_SAMPLES"),
    ("src/settings/budget.rs", "(options.coreset_ratio * patches as f64 + 1e-9) as usize", "(options.coreset_ratio * patches as f64) as usize"),
]


def build(root, folder):
    for name in subprocess.run(["git", "ls-files"], cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n"):
        if name and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if not (folder / name).exists() or (folder / name).read_bytes() != (root / name).read_bytes():
                shutil.copy(root / name, folder / name)
    texts = {}
    for number, (name, old, new) in enumerate(MUTANTS, 1):
        text = texts.get(name) or (root / name).read_text()
        if text.count(old) != 1:
            sys.exit(f"mutant {number}: {name} has {text.count(old)} of: {old}")
        mutant = f"crate::mutant({number})"
        if "=>" in old:
            (head, was), now = old.split("=> ", 1), new.split("=> ", 1)[1]
            text = text.replace(old, f"{head}=> if {mutant} {{ {now} }} else {{ {was} }}")
        elif re.match(r"^\*?[\w.]+ \+= ", old):
            text = text.replace(old, f"if {mutant} {{ {new} }} else {{ {old} }}")
        elif old.startswith("filter("):
            text = text.replace(old, f"filter(|left| {mutant} || *left > 0)")
        else:
            text = text.replace(old, f"(if {mutant} {{ {new} }} else {{ {old} }})")
        texts[name] = text
    texts["src/lib.rs"] = (root / "src/lib.rs").read_text() + """
/// Whether mistake `number` is made.
#[doc(hidden)]
pub fn mutant(number: u32) -> bool {
    static ONE: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *ONE.get_or_init(|| std::env::var("MUTANT").ok().and_then(|n| n.parse().ok()).unwrap_or(0)) == number
}
"""
    for name, text in texts.items():
        if (folder / name).read_text() != text:
            (folder / name).write_text(text)
    # With the features that the whole workspace has, as the suite is built.
    command = ["cargo", "test", "--no-run", "--lib", "--test", "method", "--test", "kernels"]
    done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    found = dict(re.findall(r" (src/lib\.rs|tests/\w+/main\.rs) \((\S*/(?:softpatch|method|kernels)-\w+)\)", done.stderr))
    programs = {"lib": "src/lib.rs", "method": "tests/method/main.rs", "kernels": "tests/kernels/main.rs"}
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", folder / "target"))
    return {name: pathlib.Path(found[file]) if pathlib.Path(found[file]).is_absolute() else folder / found[file]
            for name, file in programs.items()}


def run(program, modules, number, folder):
    """The tests that fail."""
    env = dict(os.environ, MUTANT=str(number), RUST_BACKTRACE="0")
    try:
        done = subprocess.run([program, *modules], cwd=folder, env=env, timeout=900, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return ["it never ended"]
    failed = re.findall(r"^test (\S+) \.\.\. FAILED", done.stdout, re.M)
    return failed or (["it died"] if done.returncode != 0 else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--first", type=int, default=len(ASKED), help="ask only so many groups of tests")
    parser.add_argument("numbers", nargs="*", type=int)
    args = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.keep or pathlib.Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        programs = build(root, folder)
        caught = 0
        numbers = args.numbers or range(1, len(MUTANTS) + 1)
        for number in [0, *numbers]:
            failed = []
            for program, modules in ASKED[: args.first]:
                failed = run(programs[program], modules, number, folder)
                if failed:
                    break
            if number == 0:
                if failed:
                    sys.exit(f"without a mutant: {', '.join(failed)}")
                continue
            caught += bool(failed)
            name, old, new = MUTANTS[number - 1]
            how = f"caught by {failed[0]}" + (f" and {len(failed) - 1} more" if failed[1:] else "") if failed else "SURVIVED"
            print(f"{number}. {name}: `{old.strip()}` as `{new.strip()}`: {how}", flush=True)
        print(f"{caught} of {len(numbers)} caught")


if __name__ == "__main__":
    main()
