# smoke.sh - for tests that are shell scripts, sourced by them: a shoald of one's own
#
# start_shoald ARGUMENT...: starts it with these on a free port, so that it takes whoever comes on a
# machine of any speed. Afterwards $dir is a folder that goes at the end, with the log in it, $server
# the process, $url where it listens. fail WORD...: ends the test, with what it has put into $dir/out.

start_shoald() {
    dir=$(mktemp -d) || exit 99
    trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
    "$TOP_BUILDDIR/daemon/shoald" --listen 127.0.0.1:0 --workers 1 --ready-file "$dir/address" \
        --set capacity=100000 --set elastic=off --set admission=off --set late_limit_ms=0 \
        --log-level warning "$@" 2> "$dir/log" &
    server=$!
    for i in $(seq $((100 * ${TEST_PATIENCE:-1}))); do
        [ ! -s "$dir/address" ] && kill -0 $server 2> /dev/null || break
        sleep 0.1
    done
    [ -s "$dir/address" ] || { echo "shoald did not start:"; cat "$dir/log"; exit 1; }
    url=ws://$(cat "$dir/address")
}

fail() { echo "FAILED: $*"; cat "$dir/out" "$dir/log"; exit 1; }
