#!/usr/bin/env bash
# Packs what it takes to check and measure on a machine without a network and without Rust, of the same kind
# as this one: the release program, all test programs, this repository's files, and the scripts. On Debian and
# Ubuntu also the Vulkan loader, which containers with a GPU often lack. Leaves .gpu/ and .gl/ in the
# repository's root, both ignored by git.
#
#   tools/pack.sh [options]
#
#   -p PROGRAM    pack this program in place of a release build
#   -b CATEGORY   a folder in the layout of MVTec AD, to be fitted and evaluated there; may be repeated
#   -r FILE       weights of a further backbone for those; may be repeated
#   -w FILE       weights of WideResNet-50-2
#   -n            without test programs
#
# Then, with the two folders on the other machine, `bash .gpu/measure.sh OUT` (see tools/measure.sh), which
# leaves OUT/results.tgz.
set -euo pipefail
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }
fail() { echo "error: $*" >&2; exit 1; }
program='' wide='' tests=true
categories=() backbones=()
while getopts p:b:r:w:nh option; do
    case $option in
        p) program=$(realpath "$OPTARG") ;;
        b) categories+=("$(realpath "$OPTARG")") ;;
        r) backbones+=("$(realpath "$OPTARG")") ;;
        w) wide=$(realpath "$OPTARG") ;;
        n) tests=false ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
[ $OPTIND -gt $# ] || { usage >&2; exit 2; }
for folder in ${categories[@]+"${categories[@]}"}; do
    [ -d "$folder/train" ] && [ -d "$folder/test" ] || fail "'$folder' has no train/ and test/"
done
for file in ${program:+"$program"} ${wide:+"$wide"} ${backbones[@]+"${backbones[@]}"}; do
    [ -r "$file" ] || fail "'$file' cannot be read"
done
command -v xz > /dev/null || fail "there is no xz to pack with"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ -z "$program" ]; then
    cargo build --release --locked --bin softpatch
    program=${CARGO_TARGET_DIR:-target}/release/softpatch
fi
rm -rf .gpu
mkdir -p .gpu/data .gpu/weights .gl
xz -T0 -3 -c "$program" > .gpu/softpatch.xz
cp tools/measure.sh tools/peers/torch_gpu.py .gpu/

if $tests; then
    stage=$scratch/tests
    mkdir -p "$stage/bins" "$stage/tree"
    cargo test --locked --no-run
    cargo test --locked --no-run --message-format=json 2> /dev/null > "$scratch/built"
    # Cargo says of each program what it is, whether for testing, and where.
    part() { sed -n "s/.*$2.*/\1/p" <<< "$1"; }
    : > "$stage/program"
    while IFS= read -r line; do
        executable=$(part "$line" '"executable":"\([^"]*\)"')
        kind=$(part "$line" '"kind":\["\([a-z]*\)')
        name=$(part "$line" '"target":{[^}]*"name":"\([^"]*\)"')
        case $line in
            *'"kind":["test"]'*) to=test-$name ;;
            *'"test":true},"features"'*) to=test-unit-$kind-$name ;;
            # The tests start the program itself, too, by its path here.
            *)
                [ "$kind-$name" = bin-softpatch ] || continue
                to=program
                echo "$executable" > "$stage/program"
                ;;
        esac
        cp "$executable" "$stage/bins/$to"
        strip "$stage/bins/$to" 2> /dev/null || true
    done < <(grep '"executable":"' "$scratch/built")
    # What the tests read: files of the repository, where these paths are compiled in.
    git ls-files -z | tar --null --ignore-failed-read -T - -c | tar -C "$stage/tree" -x
    echo "$root" > "$stage/root"
    # The programs have much in common, which a window that spans them finds.
    tar -C "$scratch" -c tests | xz -T1 -6 --lzma2=dict=256MiB > .gpu/tests.tar.xz
fi

for folder in ${categories[@]+"${categories[@]}"}; do cp -RL "$folder" ".gpu/data/$(basename "$folder")"; done
for file in ${backbones[@]+"${backbones[@]}"}; do cp "$file" .gpu/weights/; done
if [ -n "$wide" ]; then cp "$wide" .gpu/weights/wide.safetensors; fi

if command -v apt-get > /dev/null && ! ls .gl/libvulkan1*.deb > /dev/null 2>&1; then
    # Besides the loader what NVIDIA's Vulkan driver loads.
    (cd .gl && apt-get download -qq libvulkan1 libegl1 libglvnd0 libopengl0 libgl1 libglx0 libgles2) ||
        echo "pack: no Vulkan loader packed: apt-get could not download it" >&2
fi
du -sh .gpu .gl
