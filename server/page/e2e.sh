#!/bin/sh
# End-to-end tests of the page in headless Chromium.
#
#   server/page/e2e.sh DEMO [UNPROMPT]
#
# DEMO is the folder of `unprompt demo --no-serve --dir DEMO`; UNPROMPT the program, target/release/unprompt by default.
# Needs Node with what `npm ci` installs here, and Chromium (Debian's package is enough).
set -eu

demo=$1
UNPROMPT=$(realpath "${2:-target/release/unprompt}")
UNPROMPT_E2E_BROWSER=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
UNPROMPT_E2E_IMAGES=$(realpath "$demo/images")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
UNPROMPT_E2E_INDEX=$work/index
export UNPROMPT UNPROMPT_E2E_BROWSER UNPROMPT_E2E_IMAGES UNPROMPT_E2E_INDEX

# The prompts of the demo, and its images with what is predicted of them.
cp -R "$demo/index-5000" "$UNPROMPT_E2E_INDEX"
"$UNPROMPT" index add -q "$UNPROMPT_E2E_INDEX" "$UNPROMPT_E2E_IMAGES" --predict
cd "$(dirname "$0")"
npm run -s e2e
