#!/bin/sh
# format.sh [--check] - clang-format over all our C; with --check only the list of files that
# it would change
#
# Exit: 0 clean, 1 not, 77 when this cannot be told here. Each major version lays out a few
# things otherwise, so only the one that CI has counts: 14, Debian 12's.

VERSION=14

cd "${SRCDIR:-.}" || exit 99

for tool in clang-format-$VERSION clang-format; do
    "$tool" --version 2>/dev/null | grep -q "version $VERSION\." && break
    tool=
done
[ -n "$tool" ] || {
    echo "no clang-format $VERSION here (Debian 12: apt install clang-format): skipped"
    exit 77
}

files=$(find engine protocol daemon clients tests training -name '*.[ch]' -print | sort)
if [ "${1:-}" != --check ]; then
    "$tool" -i $files
    exit
fi
changed=$(printf '%s\n' $files | xargs -n 16 -P "$(nproc)" sh -c '
    for file; do "$0" "$file" | cmp -s - "$file" || echo "$file"; done' "$tool")
[ -z "$changed" ] || { echo "not as clang-format would have it (make format):"; echo "$changed"; exit 1; }
