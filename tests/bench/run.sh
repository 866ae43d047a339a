#!/bin/sh
# Everything that make bench measures, one after the other on one core, never side by side:
#     run.sh BENCH_ENGINE [SECONDS_PER_CASE]
# the engine with each matrix library and precision that this build and CPU have, then, where
# Node.js and its onnxruntime-node are installed, the same model in ONNX Runtime (peer.py).
# Records go to docs/performance.md by hand, with date, commit, CPU and this command.
set -eu
bench=$1
seconds=${2:-2}
here=$(cd "$(dirname "$0")" && pwd)

echo "$(date -u +%F), commit $(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)," \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), load $(cut -d' ' -f1 /proc/loadavg)"
for case in "openblas fp32" "onednn fp32" "onednn bf16" "onednn int8"; do
    echo
    # shellcheck disable=SC2086 # two words
    "$bench" "$seconds" $case || echo "(left out: $case)"
done
if [ -d "$here/ort/node_modules" ]; then
    echo
    python3 "$here/peer.py"
fi
