#!/bin/sh
# Builds and installs the C library below a prefix: header, shared library with soname, static library,
# pkg-config file, CMake config, licences.
#
#   packaging/install.sh PREFIX [CARGO OPTIONS...]     e.g. --no-default-features --features vulkan
#
# DESTDIR is put before PREFIX for packages; PROFILE is release unless set. Linux and macOS.
set -eu
[ $# -ge 1 ] || { sed -n '2,8p' "$0" >&2; exit 2; }
prefix=$1
shift
[ $# -gt 0 ] || set -- --no-default-features --features embedded-weights,vulkan,metal,dx12
cd "$(dirname "$0")/.."
profile=${PROFILE:-release}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
minor=${version%.*}
target=${CARGO_TARGET_DIR:-target}/$([ "$profile" = dev ] && echo debug || echo "$profile")
case $(uname -s) in
Darwin)
    built=libsoftpatch_capi.dylib
    shared=libsoftpatch.$minor.dylib full=libsoftpatch.$version.dylib link=libsoftpatch.dylib
    name="-Wl,-install_name,$prefix/lib/$shared"
    private="-framework Metal -framework QuartzCore -framework CoreGraphics -framework Foundation"
    ;;
*)
    built=libsoftpatch_capi.so
    shared=libsoftpatch.so.$minor full=libsoftpatch.so.$version link=libsoftpatch.so
    name="-Wl,-soname,$shared"
    private="-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc"
    ;;
esac

cargo rustc -p softpatch-capi --lib --profile "$profile" --crate-type staticlib "$@"
cargo rustc -p softpatch-capi --lib --profile "$profile" --crate-type cdylib "$@" -- -C "link-arg=$name"

to=${DESTDIR:-}$prefix
fill() {
    sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" -e "s|@SONAME_VERSION@|$minor|" -e "s|@PRIVATE@|$private|" "$1"
}
mkdir -p "$to/include" "$to/lib/pkgconfig" "$to/share/softpatch/cmake" "$to/share/doc/softpatch"
cp include/softpatch.h include/softpatch.hpp "$to/include/"
cp "$target/$built" "$to/lib/$full"
ln -sf "$full" "$to/lib/$shared"
ln -sf "$shared" "$to/lib/$link"
cp "$target/libsoftpatch_capi.a" "$to/lib/libsoftpatch.a"
fill packaging/softpatch.pc.in > "$to/lib/pkgconfig/softpatch.pc"
cp packaging/cmake/softpatch-config.cmake "$to/share/softpatch/cmake/"
fill packaging/cmake/softpatch-config-version.cmake.in > "$to/share/softpatch/cmake/softpatch-config-version.cmake"
cp NOTICE LICENSE-MIT LICENSE-APACHE "$to/share/doc/softpatch/"
if command -v python3 > /dev/null; then
    packaging/third_party.py "$to/share/doc/softpatch/THIRD-PARTY.txt" "$@"
else
    echo "no python3: THIRD-PARTY.txt, the licences of the crates, is left out; whoever passes the library on needs it" >&2
fi
echo "softpatch $version is in $to"
