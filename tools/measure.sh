#!/usr/bin/env bash
# Measures one adapter: the rates of its arithmetic and memory, every kernel against them, and whole fits and scores. Needs the
# program and nothing else; no network. Results go to a folder as text and CSV.
#
#   tools/measure.sh [-p PROGRAM] [-d ADAPTER] [-w WIDERESNET.safetensors] [-o FOLDER]
#
# -p: a built program, else `softpatch` from the path or target/release. -w: weights of WideResNet-50-2, which is measured besides
# the built-in backbone; made up without. -o: where results go, else measure-<date>.
set -euo pipefail

program= adapter= weights= out="measure-$(date -u +%Y-%m-%d-%H%M%S)"
while getopts p:d:w:o: option; do
    case $option in
        p) program=$OPTARG ;;
        d) adapter=$OPTARG ;;
        w) weights=$OPTARG ;;
        o) out=$OPTARG ;;
        *) sed -n '2,8p' "$0" >&2; exit 2 ;;
    esac
done
if [ -z "$program" ]; then
    release="$(dirname "${BASH_SOURCE[0]}")/../target/release/softpatch"
    if [ -x "$release" ]; then program=$release; else program=softpatch; fi
fi
if ! command -v "$program" > /dev/null; then
    echo "error: there is no program '$program'; build one with cargo build --release, or name it with -p" >&2
    exit 1
fi
if [ -n "$weights" ] && [ ! -r "$weights" ]; then
    echo "error: the weights '$weights' cannot be read" >&2
    exit 1
fi
wide=(--made-up-weights wide_resnet50_2)
if [ -n "$weights" ]; then wide=(--backbone "$weights" --arch wide_resnet50_2); fi
device=()
if [ -n "$adapter" ]; then device=(--device "$adapter"); fi
mkdir -p "$out"

# Runs a command, shows and keeps what it says.
keep() {
    local name=$1
    shift
    echo "== $*"
    "$@" 2>&1 | tee "$out/$name.txt"
}

{
    date -u +"%Y-%m-%d %H:%M UTC"
    uname -srm
    "$program" --version
    if command -v nvidia-smi > /dev/null; then nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv; fi
    "$program" devices
} | tee "$out/machine.txt"

# A wrong answer is said at the end and spoils no other figure.
failed=0
keep doctor "$program" doctor ${device[@]+"${device[@]}"} || failed=1
keep roofline "$program" bench --roofline --large --csv "$out/roofline.csv" ${device[@]+"${device[@]}"} || failed=1

set="$out/set"
"$program" --quiet synth "$set" --materials circuit --train 48 --test-good 8 --test-per-defect 4 --size 256
echo "backbone,precision,batch,fit_s,image_p50_ms,batch_ms_an_image,device_ms_an_image" > "$out/pipeline.csv"

# One whole fit and its scores: name, precision, batch, then options.
pipeline() {
    local name=$1 precision=$2 batch=$3
    shift 3
    keep "pipeline-$name-$precision" "$program" --quiet bench "$set" --time --methods patchcore --precision "$precision" \
        --batch "$batch" ${device[@]+"${device[@]}"} "$@"
    awk -v row="$name,$precision,$batch" '
        /^fit:/ { fit = $2 }
        /one image of/ { for (i = 1; i <= NF; i++) if ($i == "p50") p50 = $(i + 1) }
        /images at a time/ { for (i = 1; i <= NF; i++) if ($i == "decoded:") each = $(i + 1) }
        /^  on the device [0-9]/ { inside = $4 }
        END { print row "," fit "," p50 "," each "," inside }' "$out/pipeline-$name-$precision.txt" >> "$out/pipeline.csv"
}
for precision in f32 f16; do
    pipeline lite0 $precision 32 --ratio 0.1
    # 0.8 of 48 x 784 patches: a bank of 30 105 rows of 1024 values.
    pipeline wide-resnet50 $precision 32 --ratio 0.8 "${wide[@]}"
done
rm -r "$set"
echo "== $out/pipeline.csv"
cat "$out/pipeline.csv"
if [ $failed -ne 0 ]; then echo "error: some answers are wrong, see $out/doctor.txt and roofline.txt" >&2; fi
exit $failed
