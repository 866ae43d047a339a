#!/bin/sh
# The shipped models on part of the development recordings; see ci_model_per.py.
#     ci_model_per.sh [BUILD_DIR [SPEECH_DIR]]
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
command -v python3 >/dev/null || apt-get install -y -qq python3-minimal >/dev/null
exec python3 "$top/tests/ci_model_per.py" "${1:-$top/build}" "${2:-$top/../shared/speech}" \
    "$top/models/shoal-base.json" "$top/models/shoal-small.json"
