#!/bin/sh
# check_web.sh - the pure parts of clients/web under Node; skipped where there is none
command -v node > /dev/null || { echo "no node here"; exit 77; }
[ "$(node -p 'process.versions.node.split(".")[0] >= 18')" = true ] || { echo "node is too old"; exit 77; }

out=$(node --test "$SRCDIR"/tests/web/*.test.js 2>&1)
status=$?
count() { printf '%s\n' "$out" | sed -n "s/^[#ℹ] $1 \([0-9]*\)$/\1/p"; }
[ $status = 0 ] || printf '%s\n' "$out"
# as Check words it, so that ./bootstrap check counts them
echo "100%: Checks: $(count tests), Failures: $(count fail), Errors: 0"
exit $status
