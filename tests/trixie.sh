#!/bin/bash
# trixie.sh [FOLDER] - do the README's two commands pass on Debian 13 (libwebsockets 4.3)?
#
# As root: makes a Debian 13 by debootstrap in FOLDER (a temporary one, removed afterwards; one
# that is given stays and is used again), clones this tree's last commit into it and runs there
# ./bootstrap demo, ./bootstrap check and ./bootstrap hostile. The mirror is the one that apt uses
# here, or MIRROR. Needs debootstrap and some 3 GB. Not part of make check.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SUITE=trixie
[ "$(id -u)" = 0 ] || { echo "trixie.sh: only root may chroot" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "trixie.sh: apt install debootstrap" >&2; exit 2; }

mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    grep -v security | head -1)}
if [ $# -gt 0 ]; then
    root=$1
    mkdir -p "$root"
else
    root=$(mktemp -d)
    trap 'umount "$root/dev/pts" "$root/proc" 2>/dev/null; rm -rf --one-file-system "$root"' EXIT
fi

if [ ! -x "$root/usr/bin/apt-get" ]; then
    debootstrap --variant=minbase --include=ca-certificates "$SUITE" "$root" "$mirror"
fi
# what apt needs here to reach the mirror, it needs there
cp /etc/resolv.conf "$root/etc/resolv.conf"
for file in /etc/apt/apt.conf.d/*; do
    grep -qsi 'proxy\|^Acquire' "$file" && cp "$file" "$root/etc/apt/apt.conf.d/"
done
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc" ||
    echo "trixie.sh: no /proc in the chroot: some tests will fail" >&2
# (terminals, for the test of shoal-mic)
mountpoint -q "$root/dev/pts" || mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts" ||
    echo "trixie.sh: no /dev/pts in the chroot: mic_live.py will fail" >&2
[ -c "$root/dev/ptmx" ] && [ ! -L "$root/dev/ptmx" ] && rm -f "$root/dev/ptmx"
[ -e "$root/dev/ptmx" ] || ln -s pts/ptmx "$root/dev/ptmx"
[ -e "$root/dev/urandom" ] || mknod -m 666 "$root/dev/urandom" c 1 9
[ -e "$root/dev/null" ] || mknod -m 666 "$root/dev/null" c 1 3

rm -rf "$root/shoal"
git archive --prefix=shoal/ HEAD | tar -x -C "$root"
status=0
for command in demo check hostile; do
    echo "== $SUITE: ./bootstrap $command"
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} bash -c "cd /shoal && ./bootstrap $command" || status=1
done
exit $status
