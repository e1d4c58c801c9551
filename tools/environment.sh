# shellcheck shell=bash
# Sourced by the other scripts: goes to the repository's root, sets up the driver, and
# gives Mesa the folder that it asks for. Leaves `scratch`, a folder that goes when the script ends.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
tools/setup.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    # Mesa prints an error line without it.
    export XDG_RUNTIME_DIR=$scratch
fi
