#!/bin/sh
# check_bootstrap.sh - ./bootstrap of a fresh clone answers a wrong or a questioning command line at
# once: nothing is generated, configured or built
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
cp "$SRCDIR/bootstrap" "$dir" || exit 99
cd "$dir" || exit 99

# says CODE WORDS ARGUMENT...
says() {
    wanted=$1 words=$2
    shift 2
    timeout 10 ./bootstrap "$@" > out 2>&1
    code=$?
    [ $code = "$wanted" ] && grep -qF -e "$words" out || { echo "FAILED: bootstrap $*: $code"; cat out; exit 1; }
    rm out
    [ "$(ls)" = bootstrap ] || { echo "FAILED: bootstrap $* left something:"; ls; exit 1; }
}

says 0 './bootstrap demo' -h
says 0 './bootstrap demo' --help
says 0 './bootstrap demo' help
says 0 './bootstrap demo' build --help
says 0 './bootstrap demo' build -h
says 1 'level takes one of scalar, avx2, avx512, amx, neon' level
says 1 'neon, not avx3' level avx3
says 1 'compile takes one of asan, tsan, not msan' compile msan
says 2 'no command "nonsense"' nonsense
