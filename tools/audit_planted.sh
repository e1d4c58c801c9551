#!/usr/bin/env bash
# What `softpatch audit` finds of planted pictures: a tenth as many defects of each kind as there are training pictures are
# put among them, and the precision at their number is measured.
#   tools/audit_planted.sh PROGRAM SET... [-- OPTIONS OF audit]
# SET is a folder in the layout of MVTec AD: train/good, test/<kind>. Prints a line of a Markdown table for each kind.
set -euo pipefail
if [[ $# -lt 2 || $1 == --help ]]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0"
    exit 2
fi
program=$1
shift
sets=()
while [[ $# -gt 0 && $1 != -- ]]; do
    sets+=("$1")
    shift
done
[[ ${1:-} == -- ]] && shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# audit NAME PICTURES_OF_A_KIND: how many were planted, found, and look contaminated.
audit() {
    local set=$1 kind=$2
    shift 2
    rm -rf "$work/set" && mkdir "$work/set"
    ln -s "$set"/train/good/* "$work/set/"
    local good planted=0
    good=$(find "$work/set" -mindepth 1 | wc -l)
    if [[ $kind != none ]]; then
        for picture in "$set/test/$kind"/*; do
            [[ $planted -lt $((good / 10)) ]] || break
            ln -s "$picture" "$work/set/planted_$(basename "$picture")"
            planted=$((planted + 1))
        done
    fi
    "$program" -q audit "$work/set" --all --csv "$@" >"$work/ranks.csv"
    awk -F, -v n="$planted" -v set="$(basename "$set")" -v kind="$kind" '
        NR > 1 && NR <= n + 1 && $1 ~ /\/planted_[^\/]*$/ { found++ }
        NR > 1 && $4 == "true" { suspects++ }
        END { printf "| %s | %s | %d | %s | %d |\n", set, kind, n, n ? sprintf("%.2f", found / n) : "", suspects }
    ' "$work/ranks.csv"
}

echo "| set | planted | pictures | precision at their number | look contaminated |"
echo "|---|---|---:|---:|---:|"
for set in "${sets[@]}"; do
    set=$(realpath "$set")
    audit "$set" none "$@"
    for kind in "$set"/test/*; do
        kind=$(basename "$kind")
        [[ $kind == good ]] || audit "$set" "$kind" "$@"
    done
done
