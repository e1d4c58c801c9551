#!/usr/bin/env bash
# Runs every comparison, one after the other, on one category folder, and writes results/*.json, *.csv and
# table.md.
#
#   tools/peers/run.sh CATEGORY [options]
#     --images N            training images of softpatch and published.py (default: all)
#     --anomalib-images N   training images of anomalib, and of softpatch beside it (default: 48)
#     --test N              test images of each kind (default: all)
#     --ratio R             rows of the bank as a share of all patches (default: 0.1)
#     --seed N              (default: 0)
#     --backbone FILE       safetensors (default: EfficientNet-Lite0 in weights/)
#     --score-batch N       images that are scored at a time for the figure in batches (default: 8)
#     --device cuda         where PyTorch computes; softpatch takes its default adapter
#     --half                backbones in f16: softpatch with --precision f16, PyTorch by autocast, shapes in f16
#     --pixels              pixel AUROC too
#     --seconds S           least time for a shape (default: 1)
#     --only NAMES          of softpatch,published,anomalib,ops,burn, with commas between; burn takes twenty
#                           minutes to compile
#     --out DIR             (default: tools/peers/results)
#
# SOFTPATCH names the program (default: target/release/softpatch), PEERS_VENV the Python environment,
# CARGO_TARGET_DIR where the two programs that time shapes are built. What is missing is skipped with a line
# that says so. A software driver gets two threads a core for softpatch's shapes where the program does so.
#
# published.py and anomalib run with OMP_WAIT_POLICY=passive unless that is set: PyTorch, faiss and
# scikit-learn bring an OpenMP each, whose threads take the cores from each other while they spin. ops.py has
# only one, and runs with both policies.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PEERS_VENV:-$here/.venv-peers}/bin/python
softpatch=${SOFTPATCH:-$root/target/release/softpatch}
images=1000000 few=48 test=1000000 ratio=0.1 seed=0 backbone='' seconds=1 only=softpatch,published,anomalib,ops,burn
out=$here/results category='' pixels=() batch=8 device=cpu half=() f16=()

usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in
        --pixels) pixels=(--pixels) && shift && continue ;;
        --half) half=(--half) f16=(--precision f16) && shift && continue ;;
        -*) [ $# -ge 2 ] || usage ;;
    esac
    case $1 in
        --images) images=$2 ;;
        --anomalib-images) few=$2 ;;
        --test) test=$2 ;;
        --ratio) ratio=$2 ;;
        --seed) seed=$2 ;;
        --backbone) backbone=$(realpath "$2") ;;
        --seconds) seconds=$2 ;;
        --score-batch) batch=$2 ;;
        --device) device=$2 ;;
        --only) only=$2 ;;
        --out) out=$2 ;;
        -*) usage ;;
        *)
            [ -z "$category" ] || usage
            category=$1 && shift && continue
            ;;
    esac
    shift 2
done
[ -n "$category" ] || usage
[ -d "$category/train" ] && [ -d "$category/test" ] || {
    echo "run: $category has no train/ and test/; the layout of MVTec AD is needed" >&2
    exit 1
}
category=$(cd "$category" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

wanted() { [[ ,$only, == *,$1,* ]]; }
skip() { echo "run: $1 skipped: $2" >&2; }

# A folder of links to the first N training images and the first TEST images of each kind: every program reads
# the same.
subset() {
    local folder=$scratch/$1 kind file
    mkdir -p "$folder/train/good" "$folder/test"
    while IFS= read -r -d '' file; do
        ln -s "$file" "$folder/train/good/"
    done < <(find -L "$category/train" -type f -print0 | sort -z | head -z -n "$2")
    for kind in "$category"/test/*/; do
        kind=$(basename "$kind")
        mkdir "$folder/test/$kind"
        while IFS= read -r -d '' file; do
            ln -s "$file" "$folder/test/$kind/"
        done < <(find -L "$category/test/$kind" -type f -print0 | sort -z | head -z -n "$test")
    done
    [ ! -d "$category/ground_truth" ] || ln -s "$category/ground_truth" "$folder/ground_truth"
    echo "$folder"
}

# NAME PROGRAM...: its JSON to NAME.json, which stays as it was where the program fails; its scores to
# NAME.csv.
method() {
    local name=$1
    shift
    echo "run: $name" >&2
    if "$@" > "$scratch/out" 2> "$out/$name.log"; then
        mv "$scratch/out" "$out/$name.json"
        rm "$out/$name.log"
    else
        skip "$name" "it failed, see $out/$name.log"
    fi
}

weights=()
[ -z "$backbone" ] || weights=(--backbone "$backbone")
shared=(--ratio "$ratio" --seed "$seed" --score-batch "$batch" "${weights[@]}" "${pixels[@]}")
torch=(--threads "$(nproc 2> /dev/null || sysctl -n hw.ncpu)" --device "$device" "${half[@]}")
all=$(subset all "$images")
some=$(subset some "$few")

# A machine's figures belong together: what an earlier run left goes.
rm -f "$out"/*.json "$out"/*.csv "$out"/*.log "$out/table.md"

export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
have_python=true
[ -x "$python" ] || have_python=false
if wanted softpatch; then
    if [ -x "$softpatch" ]; then
        own=(python3 "$here/softpatch_run.py" --program "$softpatch" "${shared[@]}")
        method softpatch "${own[@]}" --time --scores "$out/scores-softpatch.csv" "$all" -- "${f16[@]}"
        method softpatch-official "${own[@]}" --time --scores "$out/scores-softpatch-official.csv" "$all" -- --compat official "${f16[@]}"
        method softpatch-patchcore "${own[@]}" --time --scores "$out/scores-softpatch-patchcore.csv" "$some" \
            -- --discriminator none --embedding concat "${f16[@]}"
    else
        skip softpatch "$softpatch is not there (cargo build --release)"
    fi
fi
if wanted published; then
    if $have_python; then
        program=("$python" "$here/published.py" "${shared[@]}" "${torch[@]}")
        method published "${program[@]}" --official --scores "$out/scores-published.csv" "$all"
        method published-our-choices "${program[@]}" --scores "$out/scores-published-our-choices.csv" "$all"
    else
        skip published "no $python (tools/peers/setup.sh)"
    fi
fi
if wanted anomalib; then
    if $have_python && "$python" -c 'import anomalib' 2> /dev/null; then
        method anomalib "$python" "$here/anomalib_patchcore.py" "${shared[@]}" "${torch[@]}" \
            --scores "$out/scores-anomalib.csv" "$some"
    else
        skip anomalib "not installed (tools/peers/setup.sh)"
    fi
fi
# NAME PROGRAM...: its table of shapes.
shapes() {
    local name=$1
    shift
    echo "run: shapes with $name" >&2
    if "$@" "$seconds" "${half[@]#--}" > "$scratch/out"; then
        mv "$scratch/out" "$out/ops-$name.csv"
    else
        skip "shapes with $name" "it failed"
    fi
}
# MANIFEST [WHAT...]: builds it into $target; fails where that cannot be.
build() {
    command -v cargo > /dev/null || return 1
    cargo build --quiet --release --manifest-path "$1" --target-dir "$target" "${@:2}"
}
if wanted ops; then
    cores=$(nproc 2> /dev/null || sysctl -n hw.ncpu)
    if [ "$cores" -ge 2 ] && [ "$cores" -le 4 ]; then export LP_NUM_THREADS=${LP_NUM_THREADS:-$((2 * cores))}; fi
    target=${CARGO_TARGET_DIR:-$root/target}
    if build "$root/Cargo.toml" -p softpatch-benches --bin peer-shapes; then
        shapes softpatch "$target/release/peer-shapes"
    else
        skip "shapes with softpatch" "they cannot be built"
    fi
    if $have_python; then
        echo "run: shapes with torch" >&2
        for policy in active passive; do
            if OMP_WAIT_POLICY=$policy "$python" "$here/ops.py" --seconds "$seconds" "${torch[@]}" > "$scratch/out"; then
                mv "$scratch/out" "$out/ops-torch-$policy.csv"
            else
                skip "shapes with torch" "it failed"
            fi
        done
    else
        skip "shapes with torch" "no $python (tools/peers/setup.sh)"
    fi
fi
if wanted burn; then
    target=${CARGO_TARGET_DIR:-$here/burn/target}
    if [ ${#half[@]} -gt 0 ]; then
        skip "shapes with burn" "its program has f32 only"
    elif build "$here/burn/Cargo.toml"; then
        shapes burn "$target/release/peers-burn"
    else
        skip "shapes with burn" "they cannot be built"
    fi
fi
python3 "$here/table.py" "$out" | tee "$out/table.md"
