#!/bin/sh
# Everything that make bench measures, one part after the other, never side by side:
#
#     run.sh BENCH_ENGINE          about four minutes
#
#   1. bench_engine   the engine: depth, chunk, batch, precision, backend, stages, peak, memory
#   2. daemon.py      the whole daemon over loopback, against the engine
#   3. peer.py        the same model in ONNX Runtime, where Node.js and its package are
#
# The tables go to the terminal and are what docs/performance.md holds; build/bench.json has every
# number. What cannot be measured here is null there, and a line says why.
set -eu
bench=$1
until=$(($(date +%s) + 270))        # the last part stops repeating itself then
here=$(cd "$(dirname "$0")" && pwd)
command -v python3 > /dev/null || { echo "make bench needs python3: apt-get install python3" >&2; exit 1; }
found=$(mktemp)
trap 'rm -f "$found"' EXIT

part() { printf '\n==== %s\n' "$*"; }

python3 "$here/record.py" --begin
part "the engine on one core"
"$bench" --json "$found"
python3 "$here/record.py" "$found"
part "the daemon over loopback"
python3 "$here/daemon.py"
part "a peer in the same run: ONNX Runtime"
python3 "$here/peer.py" --until "$until"
part "the record"
python3 "$here/record.py" --show
