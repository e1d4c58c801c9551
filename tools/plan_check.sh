#!/usr/bin/env bash
# What `softpatch plan` says of a fit, against what the fit then takes: a table in Markdown, a line a set.
#
#   tools/plan_check.sh DIR...                       each with the defaults and with --coreset-ratio 0.05
#   OPTIONS="size=64,coreset-ratio=0.05" tools/plan_check.sh DIR...
#
# On a driver that computes on the CPU, device buffers are memory of the process: device and host together are
# compared with what it has resident beyond what it had before the fit, kernels and weights. Linux alone says that.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
cargo test --quiet --test method --no-run
echo "| set | settings | pictures | planned device | taken | | planned, with the host | taken | | disk planned | taken | model |"
echo "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
failed=0
for dir in "$@"; do
    if [ -n "${OPTIONS+set}" ]; then all=("$OPTIONS"); else all=("" "coreset-ratio=0.05"); fi
    for options in "${all[@]}"; do
        said=$(SOFTPATCH_PLAN_SET="$dir" SOFTPATCH_PLAN_OPTIONS="$options" \
            cargo test --quiet --test method plan::planned_and_measured -- --ignored --nocapture 2>&1) || failed=1
        grep '^| ' <<<"$said" || { echo "$dir $options: no figures" >&2; tail -5 <<<"$said" >&2; }
    done
done
exit $failed
