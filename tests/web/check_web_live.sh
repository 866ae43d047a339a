#!/bin/sh
# check_web_live.sh - clients/web/shoal.js in Node against a real shoald
command -v node > /dev/null || { echo "no node here"; exit 77; }
node --experimental-websocket -e 0 2> /dev/null && flag=--experimental-websocket || flag=
recording=/usr/share/sounds/alsa/Front_Center.wav
[ -e $recording ] || { echo "no $recording"; exit 77; }

dir=$(mktemp -d) || exit 99
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
"$TOP_BUILDDIR/daemon/shoald" --listen 127.0.0.1:0 --workers 1 --ready-file "$dir/address" \
    --set capacity=100000 --log-level warning 2> "$dir/log" &
server=$!
for i in $(seq $((100 * ${TEST_PATIENCE:-1}))); do
    [ ! -s "$dir/address" ] && kill -0 $server 2> /dev/null || break
    sleep 0.1
done
[ -s "$dir/address" ] || { echo "shoald did not start:"; cat "$dir/log"; exit 1; }

node $flag --no-warnings "$SRCDIR/tests/web/live.js" "$(cat "$dir/address")" $recording \
    "$TOP_BUILDDIR/clients/shoal-file"
status=$?
[ $status = 0 ] || cat "$dir/log"
exit $status
