#!/usr/bin/env bash
# Checks and measures one adapter: whether its answers are right, the rates of its arithmetic and memory,
# every kernel against them, and whole fits and scores. Needs the program and nothing else; no network.
# Results go to a folder as text and CSV, and all of them, after every part anew, into results.tgz there.
#
#   tools/measure.sh [options] [FOLDER]
#
#   -o FOLDER     where results go (else measure-<date>)
#   -p PROGRAM    a built program (else target/release/softpatch, else softpatch from the path)
#   -d ADAPTER    its number or a part of its name, as for --device
#   -w FILE       weights of WideResNet-50-2 (else made up: the network costs the same, the search may not)
#   -b CATEGORY   a folder in the layout of MVTec AD, to fit and evaluate; may be repeated
#   -r FILE       weights of a further backbone for those folders; may be repeated
#   -n IMAGES     training images of the painted set (391, on a CPU 48)
#   -k PARTS      only these parts, with commas between:
#                   check     devices, doctor, and doctor without cooperative matrices
#                   tests     the packed test programs, where there are some
#                   roofline  every kernel against what the adapter can do, and which tiles suit it
#                   real      fit and eval of the -b folders
#                   time      where the time of a fit and a score goes, with EfficientNet-Lite0 and with
#                             WideResNet-50-2, in f32 and f16
#                   peer      PyTorch on the same GPU, where a python3 has torch (PYTHON names it)
#   -t FACTOR     every command has a limit, which is this many times longer (1, on a CPU 10)
#
# tools/pack.sh makes a folder .gpu with a copy of this script and all that it takes; there, without options,
# the program, test programs, data and weights are the packed ones. Exit status: 1 where an answer is wrong or
# a command failed.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

program='' adapter='' wide='' out='' images='' factor='' parts=check,tests,roofline,real,time,peer
categories=() backbones=()
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }
fail() { echo "error: $*" >&2; exit 1; }
while getopts o:p:d:w:b:r:n:k:t:h option; do
    case $option in
        o) out=$OPTARG ;;
        p) program=$OPTARG ;;
        d) adapter=$OPTARG ;;
        w) wide=$OPTARG ;;
        b) categories+=("$OPTARG") ;;
        r) backbones+=("$OPTARG") ;;
        n) images=$OPTARG ;;
        k) parts=$OPTARG ;;
        t) factor=$OPTARG ;;
        h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -le 1 ] || { usage >&2; exit 2; }
out=${out:-${1:-measure-$(date -u +%Y-%m-%d-%H%M%S)}}
for part in ${parts//,/ }; do
    case $part in
        check | tests | roofline | real | time | peer) ;;
        *) fail "there is no part '$part'; they are check, tests, roofline, real, time, peer" ;;
    esac
done
for file in ${wide:+"$wide"} ${backbones[@]+"${backbones[@]}"}; do
    [ -r "$file" ] || fail "the weights '$file' cannot be read"
done
for folder in ${categories[@]+"${categories[@]}"}; do
    [ -d "$folder/train" ] && [ -d "$folder/test" ] || fail "'$folder' has no train/ and test/"
done
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Compiled pipelines of other versions would change first times; Mesa prints an error line without the second.
export SOFTPATCH_CACHE=$scratch/cache XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$scratch}

# What was packed, unless options say otherwise.
if [ -r "$here/softpatch.xz" ]; then
    if [ -z "$program" ]; then
        program=$scratch/softpatch
        xz -dc "$here/softpatch.xz" > "$program" || fail "the packed program cannot be unpacked"
        chmod +x "$program"
    fi
    for folder in "$here"/data/*/; do
        if [ -d "$folder/train" ]; then categories+=("${folder%/}"); fi
    done
    for file in "$here"/weights/*; do
        case $file in
            */wide*) wide=${wide:-$file} ;;
            *.safetensors) backbones+=("$file") ;;
        esac
    done
    # A container often has the GPU's driver, but no loader.
    loader=$here/../.gl
    listed=$(ldconfig -p 2> /dev/null || /sbin/ldconfig -p 2> /dev/null)
    if [[ $listed != *libvulkan.so.1* ]] && ls "$loader"/*.deb > /dev/null 2>&1; then
        for file in "$loader"/*.deb; do dpkg-deb -x "$file" "$scratch/loader"; done
        for folder in "$scratch"/loader/usr/lib/*/; do
            export LD_LIBRARY_PATH=${folder%/}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        done
    fi
    # Where NVIDIA's container tools may put the driver's manifest, which the loader does not look at.
    manifest=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
    if [ -z "${VK_DRIVER_FILES:-}" ] && [ -r "$manifest" ]; then export VK_DRIVER_FILES=$manifest; fi
fi
if [ -z "$program" ]; then
    program=$here/../target/release/softpatch
    [ -x "$program" ] || program=softpatch
fi
command -v "$program" > /dev/null ||
    fail "there is no program '$program'; build one with cargo build --release, or name it with -p"
device=()
if [ -n "$adapter" ]; then device=(--device "$adapter"); fi

# The adapter that is measured: the one that is named (or numbered), else the first.
matching=(-i -F -e "$adapter")
if [[ ${adapter:-0} =~ ^[0-9]+$ ]]; then matching=(-e "^${adapter:-0}:"); fi
kind=$("$program" devices 2> /dev/null | grep '^[0-9]*: ' | grep "${matching[@]}" | head -n 1)
cpu=false
case $kind in *'(cpu,'*) cpu=true ;; esac
if $cpu; then : "${factor:=10}" "${images:=48}"; else : "${factor:=1}" "${images:=391}"; fi
[[ $images =~ ^[1-9][0-9]*$ && $factor =~ ^[1-9][0-9]*$ ]] || fail "-n and -t take whole numbers over 0"

failed=0
began=$(date +%s)
wanted() { [[ ,$parts, == *,$1,* ]]; }
pack_results() {
    tar -C "$out" --exclude ./results.tgz -czf "$scratch/results.tgz" . && mv "$scratch/results.tgz" "$out/"
}
# A part begins: what there is so far is kept, should this machine go away.
part() {
    wanted "$1" || return 1
    pack_results
    echo "## $1, after $(($(date +%s) - began)) s"
}
# limit SECONDS COMMAND...
limit() {
    local seconds=$(($1 * factor))
    shift
    if command -v timeout > /dev/null; then timeout "$seconds" "$@"; else "$@"; fi
}
# keep NAME SECONDS COMMAND...: runs a command, shows and keeps what it says. One that fails spoils no other
# figure.
keep() {
    local name=$1 status
    shift
    echo "== ${*:2}"
    limit "$@" 2>&1 | tee "$out/$name.txt"
    status=${PIPESTATUS[0]}
    [ "$status" -eq 0 ] && return
    if [ "$status" -eq 124 ]; then
        echo "stopped at its limit (-t makes it longer)"
    else
        echo "failed: $status"
    fi | tee -a "$out/$name.txt"
    failed=1
    return 1
}

{
    date -u +"%Y-%m-%d %H:%M UTC"
    uname -srm
    "$program" --version
    if command -v nvidia-smi > /dev/null; then
        nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv
    fi
    limit 40 "$program" devices
} 2>&1 | tee "$out/machine.txt"

if part check; then
    keep doctor 60 "$program" doctor ${device[@]+"${device[@]}"}
    keep doctor-without-coop 60 env SOFTPATCH_DISABLE=coop "$program" doctor ${device[@]+"${device[@]}"}
fi

# Paths are compiled into the test programs: the files have to lie where they lay on the machine that packed.
run_tests() {
    local home built test name status
    if ! xz -dc "$here/tests.tar.xz" | tar -C "$scratch" -x; then
        echo "failed: the packed test programs cannot be unpacked"
        failed=1
        return
    fi
    home=$(cat "$scratch/tests/root") built=$(cat "$scratch/tests/program")
    if [ ! -e "$home/Cargo.toml" ]; then
        if ! { mkdir -p "$home" && cp -R "$scratch/tests/tree/." "$home/"; }; then
            echo "skipped: $home cannot be made"
            failed=1
            return
        fi
    fi
    if [ -n "$built" ] && [ ! -e "$built" ]; then
        mkdir -p "$(dirname "$built")" && cp "$scratch/tests/bins/program" "$built"
    fi
    for test in "$scratch"/tests/bins/test-*; do
        name=$(basename "$test")
        # Those that are skipped compile programs against the libraries of a build, or shaders for other GPUs.
        (cd "$home" && limit 150 "$test" --test-threads 4 --skip ffi_programs:: --skip amd::) > "$out/$name.txt" 2>&1
        status=$?
        [ $status -eq 0 ] || failed=1
        echo "$name: $(grep '^test result' "$out/$name.txt" || echo "status $status")"
        grep -e '\.\.\. FAILED$' "$out/$name.txt"
    done
}
if part tests; then
    if [ -r "$here/tests.tar.xz" ]; then
        run_tests > >(tee "$out/tests.txt")
    else
        echo "skipped: no test programs are packed"
    fi
fi

if part roofline; then
    keep roofline 120 "$program" roofline --large --csv "$out/roofline.csv" \
        ${device[@]+"${device[@]}"}
    # Each size of tiles at each shape; the table of the user stays as it is.
    keep tune 120 "$program" tune --out "$out/tuning.json" ${device[@]+"${device[@]}"}
fi

# real NAME CATEGORY OPTIONS...: options for fit; eval takes the weights of the same.
real() {
    local name=$1 category=$2 weights=() model=$scratch/model
    shift 2
    case ${1:-} in --backbone) weights=("$1" "$2") ;; esac
    if keep "fit-$name" 120 "$program" fit "$category/train/good" -o "$model" \
        ${device[@]+"${device[@]}"} "$@"; then
        keep "eval-$name" 120 "$program" eval "$model" "$category" --json \
            ${device[@]+"${device[@]}"} ${weights[@]+"${weights[@]}"} > "$scratch/shown"
        # All of it is in the file: here the figures of all images together.
        head -n 1 "$scratch/shown"
        sed -n '2,/}/p' "$scratch/shown" | tr -d '\n'
        echo
    fi
}
if part real; then
    for category in ${categories[@]+"${categories[@]}"}; do
        name=$(basename "$category")
        real "$name-f32" "$category"
        real "$name-f16" "$category" --precision f16
        for file in ${backbones[@]+"${backbones[@]}"}; do
            real "$name-$(basename "$file" .safetensors)" "$category" --backbone "$file"
        done
    done
    [ ${#categories[@]} -gt 0 ] || echo "skipped: no folder is given (-b)"
fi

# One whole fit and its scores: name, precision, seconds, then options.
pipeline() {
    local name=$1 precision=$2 seconds=$3
    shift 3
    keep "pipeline-$name-$precision" "$seconds" "$program" --quiet profile "$scratch/set" \
        --geometry paper --precision "$precision" --batch 32 --coreset-ratio "$ratio" \
        ${device[@]+"${device[@]}"} "$@" || return 0
    awk -v row="$name,$precision,32,$images" '
        /^fit:/ { fit = $2 }
        /one image of/ { for (i = 1; i <= NF; i++) if ($i == "p50") p50 = $(i + 1) }
        /images at a time/ { for (i = 1; i <= NF; i++) if ($i == "decoded:") each = $(i + 1) }
        /^  on the device [0-9]/ { inside = $4 }
        END { print row "," fit "," p50 "," each "," inside }' \
        "$out/pipeline-$name-$precision.txt" >> "$out/pipeline.csv"
}
if part time; then
    # A bank of 30 000 rows whatever the number of images, as long as their patches suffice: the middle of an
    # image has 784.
    ratio=$(awk -v n="$images" 'BEGIN { r = 30105 / (784 * n); print (r > 0.8 ? 0.8 : r) }')
    "$program" --quiet synth "$scratch/set" --materials circuit --size 256 --train "$images" --test-good 16 \
        --test-per-defect 4
    columns=backbone,precision,batch,images,fit_s,image_p50_ms,batch_ms_an_image,device_ms_an_image
    echo $columns > "$out/pipeline.csv"
    weights=(--made-up-weights wide_resnet50_2)
    if [ -n "$wide" ]; then weights=(--backbone "$wide" --arch wide_resnet50_2); fi
    if [ "$images" -gt 100 ]; then weights+=(--memory 8GiB); fi
    for precision in f32 f16; do
        pipeline lite0 $precision 60
        pipeline wide-resnet50 $precision 100 "${weights[@]}"
    done
    echo "== $out/pipeline.csv"
    cat "$out/pipeline.csv"
fi

if part peer; then
    python=${PYTHON:-python3} peer=$here/torch_gpu.py
    [ -r "$peer" ] || peer=$here/peers/torch_gpu.py
    probe='import torch, torchvision; raise SystemExit(not torch.cuda.is_available())'
    if ! "$python" -c "$probe" 2> /dev/null; then
        echo "skipped: $python has no torch and torchvision, or they find no CUDA device"
    else
        echo "== $python $peer"
        if limit 90 "$python" "$peer" > "$out/peer.json" 2> "$out/peer.err"; then
            tr '\n' ' ' < "$out/peer.json"
            echo
        else
            cat "$out/peer.err"
            failed=1
        fi
    fi
fi

pack_results
echo "## done after $(($(date +%s) - began)) s: $out/results.tgz"
if [ $failed -ne 0 ]; then echo "error: not all went well, see above" >&2; fi
exit $failed
