#!/usr/bin/env bash
# The browser tests need Chromium. Install Debian's where that is allowed, else say how to get it.
set -euo pipefail

for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
  if [ -n "$name" ] && command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Chromium for the browser tests"
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium) >/dev/null && exit 0
fi
echo "Expected Chromium for the browser tests, but found none. Install it (apt install chromium) or set CHROMIUM=/path/to/it." >&2
exit 1
