#!/bin/sh
# deb.sh - make deb: one Debian package of what make install installs, below ./
#
# For a tree configured as Debian wants it: --prefix=/usr --sysconfdir=/etc --localstatedir=/var. The service
# starts when the package is installed and is stopped when it goes; a configuration that was changed
# stays (it is a conffile), and purging removes it and the user. Environment, from Makefile.am:
# MAKE, PREFIX, CONFDIR, VERSION, SRCDIR. Needs dpkg-dev (dpkg-shlibdeps).

set -eu
[ "$PREFIX $CONFDIR" = "/usr /etc" ] || {
    echo "make deb: configure with --prefix=/usr --sysconfdir=/etc --localstatedir=/var first" >&2
    exit 1
}
command -v dpkg-shlibdeps > /dev/null || { echo "make deb: apt install dpkg-dev" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root architecture=$(dpkg --print-architecture)
package=shoal_${VERSION}_$architecture.deb

$MAKE --no-print-directory install-strip DESTDIR="$root" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
find "$root" -name '*.la' -delete
mkdir -p "$root/DEBIAN" "$root/usr/share/doc/shoal" "$work/debian"
cp "$SRCDIR/LICENSE" "$root/usr/share/doc/shoal/copyright"
cp "$SRCDIR/NEWS" "$SRCDIR/SECURITY.md" "$SRCDIR/docs/operations.md" "$SRCDIR/docs/protocol.md" \
    "$root/usr/share/doc/shoal"
cp -r "$SRCDIR/docs/monitoring" "$root/usr/share/doc/shoal"
find "$root/usr/share/man" -type f -exec gzip -9n {} +

# what the programs are linked with, and what is opened at run time
: > "$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O --ignore-missing-info -l"$root/usr/lib" \
    $(find "$root/usr" -type f -perm -100 -o -name '*.so.*' -type f) 2> /dev/null |
    sed -n 's/^shlibs:Depends=//p')

cat > "$root/DEBIAN/control" << END
Package: shoal
Version: $VERSION
Architecture: $architecture
Maintainer: the authors of shoal <shoal@localhost>
Installed-Size: $(du -ks "$root" | cut -f 1)
Depends: $depends, libwebsockets-evlib-uv
Recommends: libopenblas0-pthread
Section: sound
Priority: optional
Description: streaming speech features over WebSocket
 shoald takes audio from many clients and streams phones, posteriors and
 embeddings back, from one Conformer whose depth each of them chooses.
 With it come shoal-file, shoal-mic, shoal-tune and shoal-load, and the
 libraries libshoal and libshoal-client.
END
echo /etc/shoal/shoald.conf > "$root/DEBIAN/conffiles"

cat > "$root/DEBIAN/postinst" << 'END'
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
ldconfig
if command -v systemd-sysusers > /dev/null; then
    systemd-sysusers shoal.conf
elif ! getent passwd shoal > /dev/null; then
    useradd --system --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin shoal
fi
if [ -d /run/systemd/system ]; then
    systemd-tmpfiles --create shoal.conf
    systemctl daemon-reload
    systemctl enable shoald.service
    systemctl restart shoald.service
fi
END
cat > "$root/DEBIAN/prerm" << 'END'
#!/bin/sh
set -e
[ "$1" = remove ] && [ -d /run/systemd/system ] || exit 0
systemctl disable --now shoald.socket shoald.service
END
cat > "$root/DEBIAN/postrm" << 'END'
#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload
case $1 in
remove) ldconfig ;;
purge)
    rm -rf /etc/shoal /run/shoal
    ! getent passwd shoal > /dev/null || userdel shoal
    ;;
esac
END
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
dpkg-deb --root-owner-group --build "$root" "$package" > /dev/null
echo "$package: $(dpkg-deb -f "$package" Installed-Size) KB installed; apt install ./$package"
