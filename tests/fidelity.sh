#!/bin/bash
# fidelity.sh [--reference TREE] - do the features still have the bytes that b01c678 gave?
#
# Builds that commit beside this tree (or takes TREE, a build of it in TREE/build), runs the
# recordings of alsa-utils through both at depths 1, 6 and 12, chunks of 80 and 320 ms, with every
# backend and precision that b01c678 has on this machine, and compares SHA-256: with the model
# file of b01c678 in both, and with its weights as a file of format 2 (training/convert.py; what ships
# now has others). Prints a table, and what `auto` was and is; exit 1 on any difference. This tree must
# be built, in build/ or BUILD. Needs numpy in PYTHON (/usr/bin/python3). Not part of make check.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

COMMIT=b01c678
BUILD=${BUILD:-build}
PYTHON=${PYTHON:-/usr/bin/python3}
MODEL=models/shoal-base.safetensors
RECORDINGS=(/usr/share/sounds/alsa/*.wav)
KINDS=("openblas fp32" "onednn fp32" "onednn bf16" "onednn int8" "amx fp32" "amx bf16" "amx int8")

dir=$(mktemp -d)
reference=
cleanup() {
    [ ! -d "$dir/tree" ] || git worktree remove --force "$dir/tree"
    rm -rf "$dir"
}
trap cleanup EXIT

if [ "${1:-}" = --reference ]; then
    reference=$2
else
    reference=$dir/tree
    git worktree add --quiet --detach "$reference" $COMMIT
    (cd "$reference" && autoreconf -i && mkdir build && cd build && ../configure --quiet &&
        make -j"$(nproc)") >"$dir/log" 2>&1 || { tail -20 "$dir/log"; exit 2; }
fi
git show "$COMMIT:$MODEL" >"$dir/old.safetensors"
"$PYTHON" training/convert.py "$dir/old.safetensors" "$dir/two.safetensors"

# compile NAME TREE BUILD: against the header and the library of that tree
compile() {
    ${CC:-cc} -O1 -I"$2/engine" -o "$dir/$1" tests/fidelity.c \
        -L"$3/engine/.libs" -Wl,-rpath,"$(realpath "$3/engine/.libs")" -lshoal -lm
}
compile old "$reference" "$reference/build"
compile new . "$BUILD"

# sum PROGRAM MODEL BACKEND PRECISION DEPTH CHUNK_MS: 12 digits, or why there are none
sum() {
    local program=$1 status=0
    shift
    "$dir/$program" "$@" "${RECORDINGS[@]}" >"$dir/out" || status=$?
    case $status in
        0) [ -s "$dir/out" ] && sha256sum <"$dir/out" | cut -c1-12 || echo empty ;;
        3) echo - ;;
        *) echo "failed($program)" ;;
    esac
}

differ=0 compared=0
printf '%-9s %-5s %5s %6s  %-12s  %-12s  %-12s\n' \
    backend prec depth chunk "$COMMIT" "now" "now, format 2"
for kind in "${KINDS[@]}"; do
    for depth in 1 6 12; do
        for chunk in 80 320; do
            # shellcheck disable=SC2086
            old=$(sum old "$dir/old.safetensors" $kind $depth $chunk)
            [ "$old" != - ] || continue 3
            now=$(sum new "$dir/old.safetensors" $kind $depth $chunk)
            file=$(sum new "$dir/two.safetensors" $kind $depth $chunk)
            verdict=
            [ "$old" = "$now" ] && [ "$old" = "$file" ] && [ ${#old} = 12 ] ||
                { verdict='  DIFFERS'; differ=$((differ + 1)); }
            compared=$((compared + 1))
            printf '%-9s %-5s %5s %6s  %-12s  %-12s  %-12s%s\n' \
                $kind $depth $chunk "$old" "$now" "$file" "$verdict"
        done
    done
done
# what one gets without asking is another backend where that is faster now: not the same bytes
for precision in fp32 bf16 int8; do
    old=$("$dir/old" "$dir/old.safetensors" auto $precision 1 80) || old=none
    now=$("$dir/new" "$dir/old.safetensors" auto $precision 1 80) || now=none
    verdict='the same'
    [ "$old" = "$now" ] || verdict='another: not compared'
    echo "auto $precision: $old then, $now now: $verdict"
done
echo "$compared compared, $differ differ"
[ $compared -gt 0 ] && [ $differ = 0 ]
