#!/bin/sh
# check_version.sh - everything that tells our version tells that of configure.ac
#
# What is installed or published without configure has it written out: public headers, the Python
# package, the JavaScript one.

cd "${SRCDIR:-.}" || exit 1
version=$(sed -n 's/^AC_INIT(\[shoal\], \[\([0-9.]*\)\])$/\1/p' configure.ac)
[ -n "$version" ] || { echo "configure.ac: no version"; exit 1; }
wrong=0

# expect FILE LINE: that line, as it stands
expect() {
    grep -qF -- "$2" "$1" || { echo "$1: no line $2"; wrong=1; }
}

# header FILE PREFIX
header() {
    set -- "$1" "$2" "${version%%.*}" "${version#*.}" "${version##*.}"
    for line in "${2}_MAJOR $3" "${2}_MINOR ${4%%.*}" "${2}_PATCH $5" "$2       \"$version\""; do
        expect "$1" "#define $line"
    done
}

header engine/shoal.h SHOAL_VERSION
header clients/lib/shoal-client.h SHOAL_CLIENT_VERSION
expect clients/python/pyproject.toml "version = \"$version\""
expect clients/python/shoal/__init__.py "__version__ = \"$version\""
expect clients/web/package.json "\"version\": \"$version\","
exit $wrong
