#!/bin/sh
# metrics_page.sh - /metrics after a session: what Prometheus' own rules say of it (promtool where it
# is), what it holds, and that the alarms and the dashboard ask for nothing that it has not
. "$SRCDIR/tests/integration/smoke.sh"
start_shoald
"$TOP_BUILDDIR/clients/shoal-file" --url "$url" --fast --depth 3 /usr/share/sounds/alsa/Front_Center.wav \
    > "$dir/out" 2>&1 || fail "shoal-file: exit code $?"
python3 "$SRCDIR/tests/integration/read_metrics.py" "${url#ws:}" "$SRCDIR/docs/monitoring" > "$dir/out" 2>&1 ||
    fail "the page"
! command -v promtool > /dev/null || promtool check rules "$SRCDIR/docs/monitoring/alerts.yml" > "$dir/out" 2>&1 ||
    fail "promtool check rules"
