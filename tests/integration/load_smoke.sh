#!/bin/sh
# load_smoke.sh - shoal-load against the real shoald: every result comes, every file is written
#
# A few sessions for a few seconds say nothing about speed; they show that pacing, counting and
# the reports work end to end.

load=$TOP_BUILDDIR/clients/shoal-load
. "$SRCDIR/tests/integration/smoke.sh"
start_shoald --set max_sessions=8

"$load" --url "$url" --sessions 4 --ramp 1 --duration 3 --depths 1:0.5,2-3:0.5 --packet-ms 20,100 \
    --pid $server --csv "$dir/run.csv" --json "$dir/run.json" --plot "$dir/run.svg" \
    > "$dir/out" 2>&1 || fail "a paced run: exit code $?"
grep -q '4 offered, 4 admitted, 0 refused, 0 failed, 4 finished' "$dir/out" || fail "sessions"
grep -q ' 0 missing' "$dir/out" || fail "missing results"
[ "$(wc -l < "$dir/run.csv")" -ge 6 ] || fail "CSV rows"
grep -q '"frames_missing": 0' "$dir/run.json" || fail "JSON"
grep -q '</svg>' "$dir/run.svg" || fail "SVG"

"$load" --url "$url" --sessions 2 --ramp 0 --duration 2 --depths 1 --fast --output embedding,phones \
    > "$dir/out" 2>&1 || fail "a fast run: exit code $?"
grep -q '200 expected (20 ms each), 200 received' "$dir/out" || fail "frames of a fast run"

"$load" --url "$url" --sessions 1 --duration 1 --depths 99 > "$dir/out" 2>&1 && fail "depth 99"
grep -q 'depth: 99 is not allowed' "$dir/out" || fail "no reason given for depth 99"

# Two live, three idle, six in a rush: of the last, three find room (max_sessions), three do not.
"$load" --url "$url" --sessions 2 --idle 3 --rush 6@3+2 --ramp 1 --duration 5 --depths 1,1..2 \
    --pid $server --json "$dir/run.json" --csv "$dir/run.csv" --plot "$dir/run.svg" > "$dir/out" 2>&1
[ $? = 1 ] || fail "a run with refusals does not say so in its exit code"
grep -q '11 offered, 8 admitted, 3 refused, 0 failed, 8 finished; 3 offered to be idle' "$dir/out" ||
    fail "refusals"
grep -q '3 x too_many_sessions: the limit on sessions is reached' "$dir/out" || fail "reason of refusals"
grep -q ' 0 missing' "$dir/out" || fail "missing results in a rush"
grep -q 'rush  *6 sessions from 3 s to 5 s' "$dir/out" || fail "the rush is not reported"
grep -q '"rss_kb_a_session"' "$dir/run.json" || fail "memory a session"
head -1 "$dir/run.csv" | grep -q 'lag_chunks$' || fail "lag"
