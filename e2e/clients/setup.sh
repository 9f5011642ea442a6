#!/usr/bin/env bash
# Installs the published client libraries that the client tests drive.
#
#   setup.sh [python|node|rust|go]...      (all four by default)
#
# Everything lands under ${WATCHKEEPER_CACHE:-~/.cache/watchkeeper}/clients, in a
# folder named after the lock file, so a second run only prints. Standard output
# is `name=path` lines; all else goes to standard error:
#   python=<interpreter with the packages>
#   python-fastapi-analytics=, python-tornado-analytics=<folder of that package alone>
#   node=<interpreter>   node-apps=<folder of the .mjs apps>
#   rust=, go=<folder of the built applications>
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}/clients
mkdir -p "$cache"

# One installer at a time; whoever waited finds the work done.
exec 9>"$cache/.lock"
flock 9

# The folder for a language: its name, and a key over the files given.
folder() {
  local language=$1
  shift
  echo "$cache/$language-$(cat "$@" | sha256sum | cut -c1-16)"
}

need() {
  command -v "$1" >/dev/null || {
    echo "the client tests need $1 in PATH" >&2
    exit 1
  }
}

# Builds into "$1.new" by the command that follows, then moves it into place, so
# that an interrupted installation is never mistaken for a whole one.
install_once() {
  local target=$1
  shift
  [ -d "$target" ] && return
  rm -rf "$target.new"
  mkdir -p "$target.new"
  "$@" "$target.new" >&2
  mv "$target.new" "$target"
}

one_framework=(fastapi-analytics tornado-analytics)

install_python() {
  # `venv` writes absolute paths into scripts, but `bin/python` follows a move.
  python3 -m venv "$1"
  local pip=("$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps) one
  "${pip[@]}" -r "$here/python/requirements.txt"
  # These have the same module as `api-analytics`, so each gets a place of its own.
  for one in "${one_framework[@]}"; do
    "${pip[@]}" --target "$1/$one" -r "$here/python/$one.txt"
  done
}

install_node() {
  cp "$here"/node/package.json "$here"/node/package-lock.json "$here"/node/.npmrc \
    "$here"/node/*.mjs "$1"
  (cd "$1" && npm ci --silent --no-progress)
}

prepare_python() {
  need python3
  local target one
  target=$(folder python "$here"/python/*.txt <(python3 -V))
  install_once "$target" install_python
  echo "python=$target/bin/python"
  for one in "${one_framework[@]}"; do
    echo "python-$one=$target/$one"
  done
}

prepare_node() {
  need node
  need npm
  local target
  # Node resolves packages from where a module lies, so the apps live beside them.
  target=$(folder node "$here"/node/package-lock.json "$here"/node/*.mjs <(node -v))
  install_once "$target" install_node
  echo "node=$(command -v node)"
  echo "node-apps=$target"
}

prepare_rust() {
  need cargo
  # Clients that can speak TLS do so by the system's OpenSSL.
  "$here/../cluster/deps.sh" openssl >/dev/null
  local target project
  target=$(folder rust "$here"/rust*/Cargo.lock <(cd "$here/rust" && rustc -vV))
  # A target folder of their own: these builds share much with each other and
  # nothing with the product's. The variables that Cargo sets for tests would
  # only spoil its fingerprints.
  for project in rust rust-axum-1.3; do
    (cd "$here/$project" && env -u RUSTFLAGS -u CARGO_BUILD_TARGET \
      cargo build --quiet --locked --target-dir "$target" >&2)
  done
  echo "rust=$target/debug"
}

prepare_go() {
  need go
  local target
  target=$(folder go "$here/go/go.sum" <(go version))
  mkdir -p "$target"
  (cd "$here/go" && CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false \
    -o "$target/" ./gin ./echo ./fiber ./chi >&2)
  echo "go=$target"
}

[ $# -gt 0 ] || set -- python node rust go
for language in "$@"; do
  case $language in
  python | node | rust | go) "prepare_$language" ;;
  *)
    echo "unknown language: $language" >&2
    exit 2
    ;;
  esac
done
