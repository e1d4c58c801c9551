#!/usr/bin/env bash
# Long runs: memory and time as the number of files grows, and several programs on one device.
#   tools/soak.sh [PROGRAM [FILES [FITTED]]]
# scores FILES / 10 and FILES small pictures (peak memory within 10 % of each other), fits on FITTED / 10 and FITTED
# pictures at a ratio of 0.01 (time within 20 % of linear), and runs 8 programs at once, whose scores are to be those
# of one.
set -euo pipefail
program="$(realpath "${1:-target/release/softpatch}")"
files="${2:-50000}" fitted="${3:-5000}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# Runs a command; seconds, those of processors, and peak memory in KiB go to `time`.
timed() {
    python3 - "$@" <<'PY'
import resource, subprocess, sys, time
began = time.time()
status = subprocess.run(sys.argv[1:], stdout=open("out", "w"), stderr=open("err", "w")).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = used.ru_utime + used.ru_stime
open("time", "w").write(f"{time.time() - began:.1f} {cpu:.1f} {used.ru_maxrss}")
if status:
    sys.stderr.write(open("err").read())
sys.exit(status)
PY
}

# Copies the pictures of a folder round and round into another one, so many: links would count once.
copies() {
    python3 - "$@" <<'PY'
import os, sys
source, to, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
pictures = [open(os.path.join(source, name), "rb").read() for name in sorted(os.listdir(source))]
for i in range(count):
    folder = os.path.join(to, f"{i // 1000:03}")
    os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, f"{i:06}.png"), "wb").write(pictures[i % len(pictures)])
PY
}

"$program" -q synth set --materials metal --train 60 --test-good 30 --test-per-defect 8 --size 64 > synth
"$program" -q fit set/metal -o m.safetensors --size 64 --coreset-ratio 0.05 > fit
echo "score: files seconds cpu-seconds peak-KiB"
for n in $((files / 10)) "$files"; do
    copies set/metal/test/good "score$n" "$n"
    timed "$program" -q score m.safetensors "score$n" --csv
    echo "  $n $(cat time), $(($(wc -l < out) - 1)) lines"
    rm -r "score$n"
done
"$program" -q synth big --materials metal --train 60 --test-good 1 --test-per-defect 1 --size 64 > synth
echo "fit at a ratio of 0.01: images seconds cpu-seconds peak-KiB"
for n in $((fitted / 10)) "$fitted"; do
    copies big/metal/train/good "fit$n" "$n"
    timed "$program" -q fit "fit$n" --all -o big.safetensors --size 64 --coreset-ratio 0.01 --memory 1GB
    echo "  $n $(cat time); $(grep -E '^  (seconds|device)' out | tr -s ' ' | tr '\n' ';')"
    rm -r "fit$n"
done
"$program" -q score m.safetensors set/metal/test --csv > one
for i in 1 2 3 4 5 6 7 8; do
    "$program" -q score m.safetensors set/metal/test --csv > "of8-$i" 2> "err8-$i" &
    jobs[i]=$!
done
same=0
for i in 1 2 3 4 5 6 7 8; do
    if wait "${jobs[i]}" && cmp -s one "of8-$i"; then same=$((same + 1)); else cat "err8-$i"; fi
done
echo "8 programs at once: $same with the scores of one"
