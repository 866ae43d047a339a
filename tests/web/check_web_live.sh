#!/bin/sh
# check_web_live.sh - clients/web/shoal.js in Node against a real shoald
command -v node > /dev/null || { echo "no node here"; exit 77; }
node --experimental-websocket -e 0 2> /dev/null && flag=--experimental-websocket || flag=
recording=/usr/share/sounds/alsa/Front_Center.wav
[ -e $recording ] || { echo "no $recording"; exit 77; }

. "$SRCDIR/tests/integration/smoke.sh"
start_shoald

node $flag --no-warnings "$SRCDIR/tests/web/live.js" "${url#ws://}" $recording \
    "$TOP_BUILDDIR/clients/shoal-file"
status=$?
[ $status = 0 ] || cat "$dir/log"
exit $status
