#!/bin/bash
# run.sh [-s SECONDS] [-o FOLDER] [TARGET...] - look for new inputs, one fuzz target after the other
#
# Each target (all, unless some are named) runs for so long (3600 s) at the lowest priority, from its corpus and from
# what earlier runs found in FOLDER (fuzz-found), where it leaves what is new, its log, and a crasher if it
# finds one. A line of figures a target. Exit code 1 if anything was found. Run it in a build folder
# that was configured with CC=clang --enable-fuzzer --enable-sanitizers.

set -uo pipefail
seconds=3600 out=fuzz-found
while getopts 's:o:' option; do
    case $option in
    s) seconds=$OPTARG ;;
    o) out=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) build=$PWD/tests/fuzz found=0
[ $# -gt 0 ] || set -- $(cd "$here" && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
mkdir -p "$out"
out=$(cd "$out" && pwd)

# figure NAME LOG: of what libFuzzer prints at its end
figure() {
    sed -n "s/^stat::$1: *//p" "$2" | tail -n 1
}

printf '%-10s %8s %12s %9s %8s  %s\n' target seconds inputs coverage corpus found
for target; do
    [ -x "$build/fuzz_$target" ] || { echo "no $build/fuzz_$target: make fuzzers"; exit 2; }
    mkdir -p "$out/$target/new"
    log=$out/$target/log start=$SECONDS
    (cd "$out/$target" && nice -n 19 "$build/fuzz_$target" -max_total_time="$seconds" -print_final_stats=1 \
        -max_len=16384 new "$here/corpus/$target") >"$log" 2>&1
    crash=$(cd "$out/$target" && ls | grep -E '^(crash|leak|timeout|oom)-' | tr '\n' ' ')
    [ -z "$crash" ] || found=1
    printf '%-10s %8s %12s %9s %8s  %s\n' "$target" $((SECONDS - start)) "$(figure number_of_executed_units "$log")" \
        "$(grep -aoE 'cov: [0-9]+' "$log" | tail -n 1 | cut -c6-)" "$(ls "$out/$target/new" | wc -l)" "${crash:-nothing}"
done
exit $found
