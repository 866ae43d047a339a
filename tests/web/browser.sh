#!/bin/sh
# browser.sh - the page in headless Chromium, with a microphone that plays real speech
#
#   apt-get install chromium; npm install --prefix /tmp/pw playwright-core
#   PLAYWRIGHT=/tmp/pw tests/web/browser.sh [-k NAME] [--shots DIR] [--long]
#
# Not part of make check. Prints what took how long, keeps screenshots in DIR; --long: a minute of
# a muted microphone too. Environment: TOP_BUILDDIR (build), CHROMIUM (chromium), TEST_PATIENCE (1: on a busy machine more).

top=$(cd "$(dirname "$0")/../.." && pwd)
: "${PLAYWRIGHT:=$top}" "${TOP_BUILDDIR:=$top/build}" "${CHROMIUM:=$(command -v chromium)}"
export PLAYWRIGHT TOP_BUILDDIR CHROMIUM
command -v node > /dev/null || { echo "no node here"; exit 77; }
[ -d "$PLAYWRIGHT/node_modules/playwright-core" ] || { echo "no playwright-core: see $0"; exit 77; }
[ -x "$CHROMIUM" ] || { echo "no chromium"; exit 77; }
exec nice -n 15 node "$top/tests/web/browser.js" "$@"
