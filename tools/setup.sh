#!/usr/bin/env bash
# Makes sure that this machine has a Vulkan driver: where none is found on Debian or Ubuntu, installs Mesa's,
# whose llvmpipe runs the kernels on the CPU. Does nothing, quickly, where one is there.
#
#   tools/setup.sh            install what is missing
#   tools/setup.sh --dry-run  say what would be installed, change nothing
#   tools/setup.sh --force    as if no driver were there (with --dry-run: to see what a fresh machine would get)
set -euo pipefail

dry_run=false
force=false
for argument in "$@"; do
    case $argument in
        --dry-run) dry_run=true ;;
        --force) force=true ;;
        *)
            echo "usage: tools/setup.sh [--dry-run] [--force]" >&2
            exit 2
            ;;
    esac
done

say() { echo "setup: $*" >&2; }

# Whether the Vulkan loader finds a driver: a manifest that is named, or one in the usual folders.
have_driver() {
    local folder file
    if [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ]; then
        return 0
    fi
    for folder in "${XDG_CONFIG_HOME:-${HOME:-/root}/.config}" /etc/xdg /etc /usr/local/etc \
        "${XDG_DATA_HOME:-${HOME:-/root}/.local/share}" /usr/local/share /usr/share; do
        for file in "$folder"/vulkan/icd.d/*.json; do
            [ -e "$file" ] && return 0
        done
    done
    return 1
}

have_loader() {
    local listed
    listed=$(ldconfig -p 2> /dev/null || /sbin/ldconfig -p 2> /dev/null || true)
    [[ $listed == *libvulkan.so.1* ]]
}

if [ "$(uname -s)" != Linux ]; then
    exit 0 # Metal and DX12 come with the system.
fi
if ! $force && have_driver && have_loader; then
    exit 0
fi
if ! command -v apt-get > /dev/null; then
    say "no Vulkan driver found, and no apt-get to install one with. Install your distribution's Mesa Vulkan drivers"
    say "(with llvmpipe, often called lavapipe) and its Vulkan loader."
    exit 1
fi

as_root=()
if [ "$(id -u)" != 0 ] && ! $dry_run; then
    if ! command -v sudo > /dev/null; then
        say "no Vulkan driver found. As root: apt-get install mesa-vulkan-drivers libvulkan1"
        exit 1
    fi
    as_root=(sudo)
fi
apt() {
    if [ "$1" = install ]; then
        $dry_run && set -- "$@" --simulate
        # env: sudo drops the variable otherwise.
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends "$@"
    else
        "${as_root[@]}" apt-get "$@"
    fi
}

# Debian 12 has Mesa 22.3, whose llvmpipe needs about four times as long for these kernels as the 25.0 of its
# backports. The system's own list of sources stays as it is: a list, and an index, of our own serve this one
# call.
install_from_backports() {
    local scratch uri
    [ "$(. /etc/os-release && echo "${ID:-} ${VERSION_ID:-}")" = "debian 12" ] || return 1
    # The server that this machine takes bookworm from already, a mirror perhaps.
    uri=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2> /dev/null |
        awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
    [ -n "$uri" ] || return 1
    scratch=$(mktemp -d)
    chmod 755 "$scratch" # apt reads as its own user
    mkdir -p "$scratch/lists/partial"
    echo "deb $uri bookworm-backports main" > "$scratch/backports.list"
    # For what the new driver needs from the stable release.
    echo "deb $uri bookworm main" >> "$scratch/backports.list"
    local options=(
        -o "Dir::Etc::sourcelist=$scratch/backports.list"
        -o Dir::Etc::sourceparts=-
        -o "Dir::State::Lists=$scratch/lists"
        -o Dir::Cache::pkgcache=
        -o Dir::Cache::srcpkgcache=
        -o Acquire::Retries=1
        -o Acquire::http::Timeout=20
    )
    local done_=0
    say "looking for Mesa 25 in bookworm-backports (the stock one is several times slower here)"
    apt "${options[@]}" -qq update &&
        apt install "${options[@]}" -qq mesa-vulkan-drivers/bookworm-backports libdrm2/bookworm-backports \
            libdrm-amdgpu1/bookworm-backports libvulkan1 || done_=1
    "${as_root[@]}" rm -rf "$scratch"
    return $done_
}

install_stock() {
    if ! $dry_run; then
        apt -qq update || say "the package lists could not be brought up to date; trying with those that are there"
    fi
    apt install -qq mesa-vulkan-drivers libvulkan1
}

say "no Vulkan driver found; installing Mesa's"
if ! install_from_backports; then
    if ! install_stock; then
        say "that failed. Install a Vulkan driver and the Vulkan loader by hand, then try again."
        exit 1
    fi
fi
if $dry_run; then
    say "dry run: nothing was changed"
    exit 0
fi
if ! have_driver || ! have_loader; then
    say "the packages are installed, but there is still no Vulkan driver to be found"
    exit 1
fi
say "done"
