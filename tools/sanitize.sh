#!/usr/bin/env bash
# tests/c/misuse.c and tests/c/stream.c under sanitizers, a line each: gcc's address and undefined-behaviour
# sanitizers with leaks counted, its thread sanitizer, and valgrind. What the driver leaves is passed over by
# packaging/valgrind/, which says why. Takes minutes: under valgrind every shader is compiled anew.
#
#   tools/sanitize.sh [address] [thread] [valgrind]    all, or those that are named
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(address thread valgrind)

cargo build --locked -p softpatch-capi >&2
built=${CARGO_TARGET_DIR:-$PWD/target}/debug
mkdir "$scratch/lib"
cp "$built/libsoftpatch_capi.so" "$scratch/lib/libsoftpatch.so"
export LD_LIBRARY_PATH=$scratch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# build NAME SOURCE FLAG...
build() {
    local program=$scratch/$1 source=$2
    shift 2
    gcc -std=c99 -g -O1 -fno-omit-frame-pointer -Wall -Wextra -Werror "$@" -Iinclude "$source" -o "$program" \
        -L"$scratch/lib" -lsoftpatch -lpthread -lm
}

# A small model, of pictures of a pattern each.
build score_ppm examples/c/score_ppm.c
train=()
for i in 1 2 3 4 5 6; do
    train+=("$scratch/$i.ppm")
    { printf 'P6\n80 80\n255\n' && { yes "softpatch, part $i" || true; } | head -c 19200; } > "${train[-1]}"
done
model=$scratch/model
"$scratch/score_ppm" fit "$model" 64 "${train[@]}" > "$scratch/fit.log" 2>&1 || { cat "$scratch/fit.log" >&2 && exit 1; }

failed=0
# check KIND NAME COMMAND...: runs it, and says what came of it.
check() {
    local kind=$1 name=$2 began=$SECONDS
    shift 2
    # In a folder without pictures, as tests are; a hang is a fault, too.
    if (cd "$scratch/empty" && exec timeout 7200 "$@") > "$scratch/log" 2>&1; then
        echo "ok      $kind: $name ($((SECONDS - began)) s)"
    else
        failed=1
        echo "FAILED  $kind: $name ($((SECONDS - began)) s)"
        head -n 60 "$scratch/log" >&2
    fi
}
mkdir "$scratch/empty"
known=$PWD/packaging/valgrind
for kind in "${kinds[@]}"; do
    for name in misuse stream; do
        case $kind in
            address)
                build $name tests/c/$name.c -fsanitize=address,undefined -fno-sanitize-recover=all
                # Stacks by frame pointers: the other unwinder waits for itself where LLVM registers frames.
                ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS=suppressions=$known/leaks.supp \
                    check "address, undefined, leaks" $name "$scratch/$name" "$model"
                ;;
            thread)
                build $name tests/c/$name.c -fsanitize=thread
                # The library's locks are futexes, which this sanitizer does not see: C's side alone is judged.
                TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1 \
                    check "thread" $name "$scratch/$name" "$model"
                ;;
            valgrind)
                build $name tests/c/$name.c
                check "valgrind" $name valgrind --quiet --leak-check=full --show-leak-kinds=definite \
                    --errors-for-leak-kinds=definite --error-exitcode=9 --fair-sched=yes \
                    --suppressions=$known/driver.supp "$scratch/$name" "$model"
                ;;
            *)
                echo "usage: tools/sanitize.sh [address] [thread] [valgrind]" >&2
                exit 2
                ;;
        esac
    done
done
exit $failed
