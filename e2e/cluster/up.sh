#!/usr/bin/env bash
# Starts a real Kubernetes control plane with Watchkeeper's kinds installed, until down.sh.
#
#   up.sh [DIRECTORY]      (by default `cluster` in the cache)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
directory="${1:-${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}/cluster}"

if [ -e "$directory/kube-apiserver.pid" ] && kill -0 "$(cat "$directory/kube-apiserver.pid")" 2>/dev/null; then
    echo "A control plane already runs in $directory: end it with $here/down.sh $directory" >&2
    exit 1
fi
"$here/build.sh" kubernetes >/dev/null
"$here/deps.sh" etcd >/dev/null
mkdir -p "$directory"
chmod 700 "$directory"
{ read -r kubeconfig && read -r kubectl; } < <(
    cd "$here/../.." && cargo run --quiet --package watchkeeper-testkit --bin watchkeeper-cluster -- "$directory"
) || { echo "The control plane did not start: its logs are in $directory" >&2; exit 1; }

cat <<END

Kubernetes $("$kubectl" version --client -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p') is up: control plane only.
The API server, the garbage collector and the workload controllers are real. There is no node:
pods are created and stay Pending.

    export KUBECONFIG=$kubeconfig
    alias kubectl=$kubectl
    kubectl api-resources --api-group=watchkeeper.dev

Logs are in $directory. Stop it with
    $here/down.sh${1:+ $directory}
END
