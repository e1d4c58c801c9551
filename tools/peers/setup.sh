#!/usr/bin/env bash
# A virtual environment for the comparison: tools/peers/.venv-peers, or where PEERS_VENV says. Some gigabytes.
#
#   tools/peers/setup.sh           install what is missing
#   tools/peers/setup.sh --reuse VENV   take packages that another environment of the same Python has from there
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${PEERS_VENV:-$here/.venv-peers}
reuse=
case ${1:-} in
    "") ;;
    --reuse) reuse=${2:?--reuse needs the folder of a virtual environment} ;;
    *)
        echo "usage: tools/peers/setup.sh [--reuse VENV]" >&2
        exit 2
        ;;
esac
python=python3
if [ -n "$reuse" ]; then
    python=$reuse/bin/python
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
if [ -n "$reuse" ]; then
    packages='import sysconfig; print(sysconfig.get_path("purelib"))'
    "$python" -c "$packages" > "$("$venv/bin/python" -c "$packages")/reuse.pth"
fi
"$venv/bin/python" -m pip install --quiet -r "$here/requirements.txt"
"$venv/bin/python" -c 'import anomalib, faiss, torch; print("anomalib", anomalib.__version__, "faiss", faiss.__version__, "torch", torch.__version__)'
