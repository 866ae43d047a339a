#!/bin/sh
# check_shape.sh - no function above 45 lines, no file above 500 (C, headers, scripts, page), no line
# of C above 100 columns: comments and strings are left alone by clang-format
#
# A function's lines are counted from the first of its declaration to the brace that ends it. In
# K&R as clang-format writes it a brace alone in column 1 opens a function and nothing else
# does, so no parser is needed. Prints each offender as FILE:LINE: what, how long.

FUNCTION_LINES=45
FILE_LINES=500
COLUMNS=100

cd "${SRCDIR:-.}" || exit 1

# sources PATTERN...: below the folders that hold our own code; what is generated is not there
sources() {
    find engine protocol daemon clients tests training -name node_modules -prune -o \
        -type f \( "$@" \) -print | sort
}

long_files() {
    sources -name '*.[ch]' -o -name '*.py' -o -name '*.sh' -o -name '*.js' -o -name '*.css' |
        xargs wc -l |
        awk -v max=$FILE_LINES '$1 > max && $2 != "total" {
            printf "%s:1: file of %d lines, at most %d\n", $2, $1, max }'
}

long_functions() {
    sources -name '*.[ch]' | xargs awk -v max=$FUNCTION_LINES '
        FNR == 1 { first = 1; head = ""; body = 0 }
        # a declaration begins after a blank line, the end of what was before, or a comment
        !body && /^[A-Za-z_]/ && first { start = FNR; head = $0; first = 0 }
        !body && (/^$/ || /^[}#]/ || /;$/ || /\*\/$/) { first = 1 }
        /^\{$/ { body = 1 }
        body && /^\}/ {
            lines = FNR - start + 1
            body = 0; first = 1
            if (lines > max)
                printf "%s:%d: function of %d lines, at most %d: %s\n",
                    FILENAME, start, lines, max, head
        }'
}

wide_lines() {
    sources -name '*.[ch]' | xargs awk -v max=$COLUMNS '
        length($0) > max { printf "%s:%d: line of %d columns, at most %d\n", FILENAME, FNR, length($0), max }'
}

found=$(long_files; long_functions; wide_lines)
[ -z "$found" ] || { echo "too long:"; echo "$found"; exit 1; }
