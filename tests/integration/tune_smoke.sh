#!/bin/sh
# tune_smoke.sh - shoal-tune against the real shoald: a table, a choice, files, its exit codes
#
# One recording at two chunk lengths, the built-in model. What is chosen is not the point, that the
# parts meet is, on a machine of any speed.

tune=$TOP_BUILDDIR/clients/shoal-tune
. "$SRCDIR/tests/integration/smoke.sh"
start_shoald

mkdir "$dir/audio"
cp /usr/share/sounds/alsa/Front_Center.wav "$dir/audio"
# as Notepad writes it
printf '\357\273\277audio/Front_Center.wav\tF R AH1 N T S EH1 N T ER0\r\n' > "$dir/list"
SHOAL_URL=$url "$tune" --list "$dir/list" --chunks 160,80 --max-latency 5000 --within 200 \
    --json "$dir/tune.json" --svg "$dir/tune.svg" > "$dir/out" 2>&1 || fail "exit code $?"
grep -q '^Take chunk_ms ' "$dir/out" || fail "no recommendation"
grep -q '^In real time, 1 s of it: ' "$dir/out" || fail "no confirmation"
grep -q '/v1/stream?depth=[0-9]*&chunk_ms=[0-9]*$' "$dir/out" || fail "no URL"
[ "$(grep -c '"per_percent": [0-9]' "$dir/tune.json")" = 24 ] || fail "24 settings with an error rate"
grep -q '"met": true' "$dir/tune.json" || fail "JSON"
grep -q '</svg>' "$dir/tune.svg" || fail "SVG"

"$tune" --url "$url" --chunks 160 --no-live --max-latency 1 "$dir/audio" > "$dir/out" 2>&1
[ $? = 3 ] || fail "a goal that cannot be met is exit code 3"
grep -q '^No setting meets it. Nearest: ' "$dir/out" || fail "the nearest"

"$tune" --url "$url" "$dir/nothing.wav" > "$dir/out" 2>&1
[ $? = 1 ] || fail "no such file is exit code 1"
grep -q 'nothing.wav: No such file' "$dir/out" || fail "no such file is not told"

# of a folder what is no sound is left out and told, what is cut off counts and is told
cp "$dir/audio/Front_Center.wav" "$dir/audio/z.wav"
: > "$dir/audio/empty.wav"
printf '\0\0\0\040ftypM4A \0\0\0\0' > "$dir/audio/talk.m4a"
head -c 60000 "$dir/audio/z.wav" > "$dir/audio/cut.wav"
"$tune" --url "$url" --chunks 160 --no-live --max-latency 5000 --json "$dir/tune.json" "$dir/audio" > "$dir/out" 2>&1 ||
    fail "a folder with a bad file: $?"
grep -q 'left out: .*/empty.wav: the file is empty' "$dir/out" || fail "the empty file"
grep -q 'left out: .*/talk.m4a: this is .*M4A' "$dir/out" || fail "a kind that cannot be read"
[ "$(grep -c '/cut.wav: the file is cut off; its 0.62 s count' "$dir/out")" = 1 ] || fail "the file that is cut off"
grep -q '"clips": 3' "$dir/tune.json" || fail "three clips"
"$tune" --url "$url" --chunks 160 --no-live "$dir/audio/z.wav" "$dir/audio/empty.wav" > "$dir/out" 2>&1
[ $? = 1 ] || fail "a bad file that was named is exit code 1"
grep -q '_center\|chunk_ms' "$dir/out" && fail "it is told before anything is measured"

# sound without speech: no table of nothing
{
    printf 'RIFF\044\175\0\0WAVEfmt \020\0\0\0\001\0\001\0\200\076\0\0\0\175\0\0\002\0\020\0data\0\175\0\0'
    head -c 32000 /dev/zero
} > "$dir/silence.wav"
"$tune" --url "$url" --chunks 160 --no-live "$dir/silence.wav" > "$dir/out" 2>&1
[ $? = 1 ] || fail "silence is exit code 1"
grep -q 'no setting heard a phone in 1.0 s of audio' "$dir/out" || fail "silence is not told"
