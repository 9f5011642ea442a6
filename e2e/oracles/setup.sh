#!/usr/bin/env bash
# Installs the judges that we did not write: openapi-spec-validator, feedparser and DuckDB, pinned, in a
# folder named after their list under ${WATCHKEEPER_CACHE:-~/.cache/watchkeeper}/oracles. Prints the
# interpreter that has them; all else goes to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}/oracles
mkdir -p "$cache"

# One installer at a time; whoever waited finds the work done.
exec 9>"$cache/.lock"
flock 9

target=$cache/python-$(cat "$here/requirements.txt" <(python3 -V) | sha256sum | cut -c1-16)
if [ ! -d "$target" ]; then
  rm -rf "$target.new"
  # `venv` writes absolute paths into scripts, but `bin/python` follows a move.
  python3 -m venv "$target.new" >&2
  "$target.new/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    -r "$here/requirements.txt" >&2
  mv "$target.new" "$target"
fi
echo "$target/bin/python"
