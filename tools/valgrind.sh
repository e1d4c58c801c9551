#!/usr/bin/env bash
# Fit, score, stream and every misuse of the C interface under valgrind: no wrong access, nothing definitely
# lost but what packaging/valgrind/driver.supp lists. Takes minutes. Arguments go to `cargo test`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cargo test "$@" --test program valgrind_finds_nothing -- --ignored --nocapture
