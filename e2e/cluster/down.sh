#!/usr/bin/env bash
# Ends what up.sh has started and removes every trace of it.
#
#   down.sh [DIRECTORY]      (by default `cluster` in the cache)
#
# A cluster that WATCHKEEPER_KUBECONFIG names is left as it is.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
directory="$(realpath -m "${1:-${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}/cluster}")"

if [ -f "$directory/kind" ]; then
    kind delete cluster --name watchkeeper --kubeconfig "$directory/kubeconfig"
    rm -rf "$directory"
elif [ -f "$directory/network" ]; then
    "$here/remove.sh" "$directory"
else
    echo "No cluster runs in $directory." >&2
    exit 0
fi
echo "The cluster of $directory is gone."
