#!/usr/bin/env bash
# Kills programs at random moments, and at random steps of their files, so many times over fit, score, score --watch,
# bench and edits of models, and does their work again: `tools/kill.sh 100 [SEED]`. What survived is printed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
export SOFTPATCH_KILLS="${1:-100}" SOFTPATCH_KILL_SEED="${2:-1}"
exec cargo test -p softpatch-cli --test program -- --ignored --nocapture --exact crash::kill::kills_at_random
