# Sourced by the other scripts: goes to the repository's root, sets up the driver, and gives Mesa the folder that it asks for.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/setup.sh
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    # Mesa prints an error line without it.
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
    trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi
