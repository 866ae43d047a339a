#!/bin/sh
# check_layers.sh - dependencies point one way: engine/ and protocol/ include nothing of the
# rest, clients/ only the protocol (docs: README, "tour"). Prints each include that breaks it.

# forbid FOLDER PATTERN: no include in FOLDER may match
forbid() {
    for file in "$SRCDIR/$1"/*.[ch]; do
        [ -f "$file" ] || continue
        grep -nE "^ *# *include *[<\"]$2" "$file" | sed "s|^|$1/${file##*/}:|"
    done
}

found=$(
    forbid engine   '((\.\./)?(protocol|daemon|clients)/|shoal-protocol|shoal-client|shoald|uv\.h|libwebsockets)'
    forbid protocol '((\.\./)?(engine|daemon|clients)/|shoal\.h|shoal-client|shoald|uv\.h|libwebsockets|sys/socket)'
    forbid clients  '((\.\./)?(engine|daemon)/|shoal\.h|shoald|uv\.h)'
    forbid daemon   '((\.\./)?clients/|shoal-client)'
)
[ -z "$found" ] || { echo "includes that point the wrong way:"; echo "$found"; exit 1; }
