#!/usr/bin/env bash
# A driver if there is none, then all tests. Arguments go to `cargo test`. The tests that use the device take turns by a lock,
# so the others may run beside them.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cargo test "$@"
