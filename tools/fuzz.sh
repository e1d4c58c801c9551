#!/usr/bin/env bash
# Hostile files and calls by libFuzzer under the address sanitizer: builds the targets of fuzz/, makes what they begin
# with out of files of the tests, runs each, and prints a table.
#
#   tools/fuzz.sh [-n EXECUTIONS] [-t SECONDS] [-c FOLDER] [-b] [TARGET...]
#
# -n, -t: a target ends after so many executions (1000000) or seconds (600), whichever comes first. -c: corpora and
# crashes are kept there, and gone on from; else they go at the end. -b: builds, and runs nothing. Exit status 1 where
# something crashed. Pictures of $SOFTPATCH_SEEDS, a folder, are taken in, too.
set -euo pipefail
executions=1000000 seconds=600 corpora='' only_build=''
while getopts n:t:c:b option; do
    case $option in
        n) executions=$OPTARG ;;
        t) seconds=$OPTARG ;;
        c) mkdir -p "$OPTARG" && corpora=$(cd "$OPTARG" && pwd) ;;
        b) only_build=1 ;;
        *) sed -n '5,9s/^# \?//p' "$0" >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(pictures lists config model_bytes model_parts weights calls detector)
[ -n "$corpora" ] || corpora=$scratch/corpora

# What cargo-fuzz passes. The sanitizer and the coverage of the stable compiler are behind RUSTC_BOOTSTRAP.
host=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
coverage=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    --cfg fuzzing -Zsanitizer=address)
RUSTC_BOOTSTRAP=1 RUSTFLAGS="${coverage[*]}" CARGO_TARGET_DIR=$target_dir \
    cargo build --manifest-path fuzz/Cargo.toml --locked --release --target "$host" --bins >&2
[ -z "$only_build" ] || exit 0
built=$target_dir/$host/release

"$built/seeds" "$scratch/seeds"
if [ -d "${SOFTPATCH_SEEDS:-}" ]; then
    # No larger than what the target decodes.
    find -L "$SOFTPATCH_SEEDS" -type f -size -8k -regextype posix-extended \
        -regex '.*\.(png|jpe?g|bmp|tiff?|gif|webp)' -print | sort | awk 'NR % 40 == 1' | head -n 200 |
        while read -r file; do
            cp "$file" "$scratch/seeds/pictures/$(sha256sum < "$file" | cut -c -16)"
        done
fi
if [ -d /dev/shm ]; then
    # Files of inputs lie in memory.
    SOFTPATCH_FUZZ=$(mktemp -d -p /dev/shm)
    trap 'rm -rf "$scratch" "$SOFTPATCH_FUZZ"' EXIT
else
    SOFTPATCH_FUZZ=$scratch/inputs
fi
export SOFTPATCH_FUZZ
# What is allocated and never freed is a driver's, where there is one.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}

failed=0
echo "| target | executions | corpus | seconds | crashes |"
echo "|---|---|---|---|---|"
for target in "${targets[@]}"; do
    corpus=$corpora/$target crashes=$corpora/crashes/$target
    mkdir -p "$corpus" "$crashes" "$scratch/seeds/$target"
    limits=(-max_len=4096 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024)
    case $target in
        lists | config) limits[0]=-max_len=1024 ;;
        model_parts | weights) limits[0]=-max_len=256 ;;
        calls | detector) limits=(-max_len=128 -timeout=60 -rss_limit_mb=6144 -malloc_limit_mb=2048) ;;
    esac
    began=$SECONDS
    "$built/$target" "${limits[@]}" -runs="$executions" -max_total_time="$seconds" -print_final_stats=1 \
        -artifact_prefix="$crashes/" "$corpus" "$scratch/seeds/$target" > "$scratch/$target.log" 2>&1 || failed=1
    took=$((SECONDS - began))
    grep -E '^caught: ' "$scratch/$target.log" >&2 || true
    count=$(find "$crashes" -type f | wc -l)
    if [ "$count" -gt 0 ]; then
        failed=1
        grep -nE 'panicked|ERROR|SUMMARY|bytes were taken' -A3 "$scratch/$target.log" | head -n 30 >&2
        cp "$scratch/$target.log" "$crashes.log"
    fi
    did=$(sed -n 's/^stat::number_of_executed_units: *//p' "$scratch/$target.log")
    echo "| $target | ${did:-?} | $(find "$corpus" -type f | wc -l) | $took | $count |"
done
exit $failed
