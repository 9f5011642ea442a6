#!/usr/bin/env bash
# Installs what the browser tests need: Debian's chromium with two fonts, and the packages of
# package-lock.json.
#
# The packages land under ${WATCHKEEPER_CACHE:-~/.cache/watchkeeper}/browser, in a folder named
# after the lock file and the scripts, so a second run only prints. Standard output is `name=path`
# lines; all else goes to standard error:
#   node=<interpreter>   scripts=<folder of the .mjs files>   chromium=<browser>
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}/browser
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9

if ! command -v chromium >/dev/null; then
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  packages="chromium fonts-inter fonts-noto-color-emoji"
  # A new machine has no package lists.
  $as_root apt-get -qq install -y --no-install-recommends $packages >&2 ||
    { $as_root apt-get -qq update >&2 && $as_root apt-get -qq install -y --no-install-recommends $packages >&2; }
fi
command -v node >/dev/null && command -v npm >/dev/null || {
  echo "the browser tests need node and npm in PATH" >&2
  exit 1
}

target=$cache/$(cat "$here"/package-lock.json "$here"/*.mjs <(node -v) | sha256sum | cut -c1-16)
if [ ! -d "$target" ]; then
  rm -rf "$target.new"
  mkdir -p "$target.new"
  cp "$here"/package.json "$here"/package-lock.json "$here"/.npmrc "$here"/*.mjs "$target.new"
  (cd "$target.new" && npm ci --silent --no-progress >&2)
  mv "$target.new" "$target"
fi
echo "node=$(command -v node)"
echo "scripts=$target"
echo "chromium=$(command -v chromium)"
