#!/bin/sh
# check_unit.sh - the sandbox of systemd/shoald.service scores what docs/operations.md says, or better
most=13 # tenths

command -v systemd-analyze > /dev/null || { echo "no systemd-analyze here"; exit 77; }
found=$(systemd-analyze security --offline=true --threshold=$most "$TOP_BUILDDIR/systemd/shoald.service" 2>&1)
status=$?
echo "$found" | tail -n 3
case $found in
*'Overall exposure level'*) exit $status ;;
*) echo "(this systemd cannot judge a unit that is not installed)"; exit 77 ;;
esac
