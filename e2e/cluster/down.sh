#!/usr/bin/env bash
# Stops what up.sh has started and removes its data.
#
#   down.sh [DIRECTORY]      (by default `cluster` in the cache)
set -euo pipefail

directory="${1:-${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}/cluster}"

# ours PID: whether it still is the process that up.sh has started, and not another with its number.
ours() {
    [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF "$directory"
}

for name in kube-controller-manager kube-apiserver etcd; do
    [ -e "$directory/$name.pid" ] || continue
    pid="$(cat "$directory/$name.pid")"
    if ours "$pid"; then
        kill "$pid"
        for _ in $(seq 100); do
            ours "$pid" || break
            sleep 0.1
        done
        if ours "$pid"; then
            kill -9 "$pid"
        fi
        echo "stopped $name"
    fi
    rm "$directory/$name.pid"
done
# Only a directory that up.sh has made.
if [ -e "$directory/kubeconfig" ]; then
    rm -rf "$directory"
fi
