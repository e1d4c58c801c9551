#!/usr/bin/env bash
# Everything from nothing: a driver if there is none, a release build, and `softpatch demo`. Arguments go to
# the demo.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cargo run --release --quiet --bin softpatch -- demo "$@"
