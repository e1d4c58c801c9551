#!/usr/bin/env bash
# A driver if there is none, then all tests; on Mesa's llvmpipe then the tests of the kernels again, with
# subgroups of 4 and of 16 lanes in place of its 8.
#
#   tools/test.sh [--driver DRIVER] [--validate] [--no-widths] [what `cargo test` takes]
#
#   --driver DRIVER  on this Vulkan driver: its manifest (.json) or its library, or `swiftshader` for the one
#                    that a Chromium has brought along (Debian's package: chromium)
#   --validate       under Khronos' validation layer (Debian's package: vulkan-validationlayers). Fails where
#                    it has anything to say that tools/validation.txt does not explain
#   --no-widths      without the second pass
#   --help           this text
#
# Of the tests that use the device two run at a time, the others beside them.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }
say() { echo "test: $*" >&2; }
fail() { say "$@"; exit 1; }

driver='' validate=false widths=true
options=() # for cargo
filters=() # for the test programs
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --driver)
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            driver=$2
            shift
            ;;
        --driver=*) driver=${1#*=} ;;
        --validate) validate=true ;;
        --no-widths) widths=false ;;
        --)
            shift
            filters+=("$@")
            break
            ;;
        # Options of cargo whose value is the next word.
        --test | --bin | --example | --bench | -p | --package | --exclude | -j | --jobs | --profile | -F | \
            --features | --target | --target-dir | --manifest-path | --color | --config | -Z)
            options+=("$1" "${@:2:1}")
            [ $# -lt 2 ] || shift
            ;;
        -*) options+=("$1") ;;
        *) filters+=("$1") ;; # a test's name
    esac
    shift
done

# Puts the driver into VK_DRIVER_FILES; relative names are from where the script was called.
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
if [ "$driver" = swiftshader ]; then
    places=(
        /usr/lib/chromium /usr/lib/chromium-browser /usr/lib64/chromium-browser
        /snap/chromium/current/usr/lib/chromium-browser /opt/google/chrome /usr/local/lib /usr/lib/swiftshader
        "/Applications/Google Chrome.app/Contents/Frameworks/Google Chrome Framework.framework/Libraries"
    )
    for place in "${places[@]}"; do
        if [ -e "$place/vk_swiftshader_icd.json" ]; then driver=$place/vk_swiftshader_icd.json && break; fi
    done
    if [ "$driver" = swiftshader ]; then
        printf 'test: no vk_swiftshader_icd.json in any of:\n' >&2
        printf '    %s\n' "${places[@]}" >&2
        fail "install a Chromium (Debian: apt-get install chromium), or name the file: --driver FILE"
    fi
fi
if [ -n "$driver" ]; then
    driver=$(absolute "$driver")
    [ -r "$driver" ] || fail "the driver $driver cannot be read"
    export VK_DRIVER_FILES=$driver
    unset VK_ICD_FILENAMES VK_ADD_DRIVER_FILES
fi
scratch='' # environment.sh makes it
# shellcheck source=tools/environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
case $driver in
    *.so | *.so.* | *.dylib)
        # The loader wants a manifest.
        printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.1.0"}}\n' \
            "$driver" > "$scratch/driver.json"
        export VK_DRIVER_FILES=$scratch/driver.json
        ;;
esac

# What the layer says goes through a pipe with a name: a file would start anew with every instance of a test.
# Whoever writes there is read until this script closes its own end.
if $validate; then
    mkfifo "$scratch/pipe"
    cat "$scratch/pipe" > "$scratch/messages" &
    reader=$!
    exec 9> "$scratch/pipe" # also keeps the reader from an early end
    # Older layers know `enables`, newer ones `validate_sync`: hazards between dispatches.
    cat > "$scratch/vk_layer_settings.txt" << END
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.log_filename = $scratch/pipe
khronos_validation.report_flags = error,warn,perf,info
khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
khronos_validation.validate_sync = true
END
    export VK_LAYER_SETTINGS_PATH=$scratch/vk_layer_settings.txt
    export VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation
fi

# Counts messages by their explanation and prints those that have none; fails where there are such, or where
# the layer never spoke.
validated() {
    awk -v explained=tools/validation.txt '
        BEGIN {
            while ((getline line < explained) > 0) {
                if (line ~ /^(#|$)/) continue
                n++
                at = index(line " ", " ")
                id[n] = substr(line, 1, at - 1)
                words[n] = substr(line, at + 1)
            }
        }
        function finish(    i) {
            if (name == "") return
            if (name ~ /status-message/) active = 1
            for (i = 1; i <= n; i++) if (id[i] == name && index(text, words[i])) { count[i]++; return }
            unknown[name]++
            if (unknown[name] <= 3) print text
        }
        /Validation [A-Z][A-Za-z ]*: \[ [^ ]+ \]/ {
            finish()
            match($0, /Validation [A-Z][A-Za-z ]*: \[ [^ ]+ \]/)
            name = substr($0, RSTART, RLENGTH)
            sub(/.*\[ /, "", name)
            sub(/ \]/, "", name)
            text = ""
        }
        { text = text $0 "\n" }
        END {
            finish()
            for (i = 1; i <= n; i++) if (count[i]) print "validation: " count[i] " x " id[i] ", explained"
            for (name in unknown) { print "validation: " unknown[name] " x " name ": NOT EXPLAINED"; bad = 1 }
            if (!active) {
                print "validation: the layer did not run; is it installed (Debian: vulkan-validationlayers)?"
                bad = 1
            }
            exit bad
        }' "$scratch/messages"
}

status=0
cargo test ${options[@]+"${options[@]}"} -- ${filters[@]+"${filters[@]}"} || status=1

# The test programs that this run built, and the program: PATTERN matches cargo's line about them.
built=''
executable() { sed -n "/$1/s/.*\"executable\":\"\([^\"]*\)\".*/\1/p" <<< "$built" | head -n 1; }
# Of the adapter that is used by default: `driver`, `subgroups`.
adapter() { "$program" devices 2> /dev/null | awk -v key="$1" '$1 == key { print $2; exit }'; }

# llvmpipe's subgroup is one vector of the CPU; other drivers have other sizes, and the kernels must fit them
# all. What takes the time is a compiler with one thread in the driver, so both widths run side by side.
pass() {
    local bits=$1 method_too=()
    export LP_NATIVE_VECTOR_WIDTH=$bits
    # What is compiled for AMD's GPUs is the same in both.
    if [ -n "$kernels" ]; then "$kernels" --skip amd:: ${filters[@]+"${filters[@]}"} || return; fi
    if [ -n "$method" ]; then
        # Of the method, the backbones against other programs: leave out the other modules.
        while IFS= read -r module; do
            method_too+=(--skip "$module::")
        done < <("$method" --list | sed -n 's/::.*: test$//p' | sort -u | grep -v -x -e resnet -e timm)
        "$method" "${method_too[@]}" ${filters[@]+"${filters[@]}"}
    fi
}
running=() # "width process"
# Jobs in the background do not hear ctrl-c.
# shellcheck disable=SC2329 # the trap calls it
leave() {
    local job
    for job in ${running[@]+"${running[@]}"}; do kill -- "-${job#* }" 2> /dev/null || true; done
    rm -rf "$scratch"
}
trap leave EXIT
second_pass() {
    local bits job
    built=$(cargo test ${options[@]+"${options[@]}"} --no-run --message-format=json 2> /dev/null) || return 0
    local program kernels method
    program=$(executable '"kind":\["bin"\].*"test":false}')
    kernels=$(executable '"name":"kernels".*"test":true}')
    method=$(executable '"name":"method".*"test":true}')
    if [ -z "$kernels$method" ]; then
        return 0 # other tests were asked for
    elif [ -z "$program" ]; then
        say "other widths of subgroups: skipped, without the program there is no telling what the adapter is"
    elif [ "$(adapter driver)" != llvmpipe ]; then
        say "other widths of subgroups: skipped, the driver is not llvmpipe"
    else
        for bits in 128 512; do
            if [ "$(LP_NATIVE_VECTOR_WIDTH=$bits adapter subgroups)" != $((bits / 32)) ]; then
                say "subgroups of $((bits / 32)): NOT TESTED, this processor has no vectors of $bits bits"
                continue
            fi
            say "subgroups of $((bits / 32)): running"
            set -m # a process group of its own
            pass $bits > "$scratch/width-$bits" 2>&1 &
            set +m
            running+=("$bits $!")
        done
        for job in ${running[@]+"${running[@]}"}; do
            bits=${job% *}
            if wait "${job#* }"; then
                say "subgroups of $((bits / 32)): passed"
            else
                cat "$scratch/width-$bits"
                say "subgroups of $((bits / 32)): FAILED, see above"
                status=1
            fi
            grep '^test result' "$scratch/width-$bits" >&2 || true
        done
    fi
}
if $widths; then second_pass; fi

if $validate; then
    exec 9>&-
    wait "$reader"
    validated || status=1
fi
exit $status
