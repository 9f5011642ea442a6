#!/bin/sh
# Prints the path of a list of real browsers' user agents with their weights,
# fetching it into the cache first when it is not there: npm's user-agents (BSD-2).
#
#   WATCHKEEPER_CACHE   where to keep it (default: ~/.cache/watchkeeper)
set -eu

cache=${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}/user-agents
file=$cache/user-agents.json

if [ ! -s "$file" ]; then
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && npm pack --silent 'user-agents@2' >&2)
    tar -xzf "$work"/*.tgz -C "$work"
    mv -f "$work/package/dist/user-agents.json" "$file"
fi

echo "$file"
