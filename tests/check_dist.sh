#!/bin/sh
# check_dist.sh - the release tarball has every file that git knows, but for git's own
cd "$SRCDIR" && git rev-parse --git-dir > /dev/null 2>&1 || { echo "no git clone here"; exit 77; }
folder=$(mktemp -d) || exit 99
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
"${MAKE:-make}" -C "$TOP_BUILDDIR" --no-print-directory distdir distdir="$folder/dist" > "$folder/log" 2>&1 ||
    { tail -n 20 "$folder/log"; exit 1; }
forgotten=$(git ls-files | grep -vE '(^|/)\.git(ignore|keep|attributes)$' | while read -r file; do
    [ -e "$folder/dist/$file" ] || echo "$file"
done)
[ -z "$forgotten" ] || { printf 'not in the tarball (EXTRA_DIST of a Makefile.am):\n%s\n' "$forgotten"; exit 1; }
