#!/bin/sh
# check_curl.sh - the lines with curl in README.md and docs/protocol.md do what is said of them
command -v curl > /dev/null || exit 77
. "$SRCDIR/tests/integration/smoke.sh"
start_shoald --model "$SRCDIR/tests/data/tiny.safetensors" --set admission=off --set elastic=off
cp "$SRCDIR/clients/web/sample.flac" "$dir/talk.flac"
head -c 64000 /dev/zero > "$dir/talk.raw"

sed -n -e "s|HOST|${url#ws://}|" -e "s|127.0.0.1:7350|${url#ws://}|" -e 's/^    curl /curl -sS /p' \
    "$SRCDIR/README.md" "$SRCDIR/docs/protocol.md" > "$dir/lines"
[ "$(grep -c . "$dir/lines")" -ge 7 ] || fail "no lines with curl found"
while read -r line; do
    (cd "$dir" && eval "$line" > out 2>> log) || fail "curl says $?: $line"
    case $line in
        *talk.npy*) head -c 6 "$dir/talk.npy" | grep -aq NUMPY || fail "no array: $line" ;;
        *talk.packets*) [ "$(head -c 4 "$dir/talk.packets")" = SHOL ] || fail "no packets: $line" ;;
        *) tail -n 1 "$dir/out" | grep -q '^{"type":"done"' || fail "not done: $line" ;;
    esac
done < "$dir/lines"
