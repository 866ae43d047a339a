#!/bin/bash
# aarch64.sh [--fetch] DIR - configure in DIR for 64-bit ARM, on a machine that is none
#
# Debian's cross compiler builds, qemu-user runs (./bootstrap aarch64 installs both). The libraries that
# the engine and its tests need are fetched as Debian's arm64 packages into DIR/root, with lists of
# their own: this machine's packages stay as they are; --fetch does that and no more. What only daemon and clients need is not
# fetched, so only the engine and its tests can be made.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fetch_only=
[ "${1:-}" != --fetch ] || { fetch_only=yes; shift; }
dir=${1:?aarch64.sh [--fetch] DIR}
top=$PWD
PACKAGES=(libsoxr-dev libsoxr0 libopus-dev libopus0 libjansson-dev libjansson4 nettle-dev libnettle8
    zlib1g-dev zlib1g check libsubunit0 libgomp1)

mkdir -p "$dir/apt/partial" "$dir/debs/partial" "$dir/root"
dir=$(cd "$dir" && pwd)
apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64
    -o Dir::State::Lists="$dir/apt" -o APT::Sandbox::User=root)
if [ ! -e "$dir/root/usr/include/nettle/sha2.h" ]; then
    "${apt[@]}" update
    (cd "$dir/debs" && "${apt[@]}" download "${PACKAGES[@]}")
    for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir/root"; done
fi

[ -z "$fetch_only" ] || exit 0

usr=$dir/root/usr
libs=$usr/lib/aarch64-linux-gnu:$dir/root/lib/aarch64-linux-gnu
# an empty pair of flags keeps configure from looking for a module
none() { printf '%s\n' "$1_CFLAGS= " "$1_LIBS= "; }
mapfile -t absent < <(for module in LIBUV LIBWEBSOCKETS SNDFILE; do none $module; done)
cd "$dir"
"$top/configure" --quiet --host=aarch64-linux-gnu --enable-werror \
    --without-onednn --without-systemd --without-portaudio \
    CC="${CC:-$(command -v ccache) aarch64-linux-gnu-gcc}" \
    CPPFLAGS="-I$usr/include -I$usr/include/aarch64-linux-gnu" \
    LDFLAGS="-L${libs/:/ -L} -Wl,-rpath-link,$libs" \
    SOXR_CFLAGS=" " SOXR_LIBS=-lsoxr NETTLE_CFLAGS=" " NETTLE_LIBS=-lnettle ZLIB_CFLAGS=" " ZLIB_LIBS=-lz \
    JANSSON_CFLAGS=" " JANSSON_LIBS=-ljansson OPUS_CFLAGS="-I$usr/include/opus" OPUS_LIBS=-lopus \
    CHECK_CFLAGS=" " CHECK_LIBS="-lcheck -l:libsubunit.so.0 -lm -lrt -lpthread" \
    "${absent[@]}" ac_cv_have_decl_LWS_WITH_LIBUV=yes
echo "qemu-aarch64-static -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=$libs" > runner
