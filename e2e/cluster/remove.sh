#!/usr/bin/env bash
# Ends a cluster with a node and removes every trace of it.
#
#   remove.sh DIRECTORY                     now
#   remove.sh --when-gone PID DIRECTORY     as soon as there is no process PID any more
#
# The directory knows its cluster by the file `network`. What is not there is no error, so that the
# leftovers of any crash can be removed.
set -uo pipefail

if [ "$1" = --when-gone ]; then
    tail --pid="$2" -f /dev/null
    shift 2
fi
directory="$(realpath -m "$1")"

mounts_below() { awk -v top="$1/" 'index($2, top) == 1 { print $2 }' /proc/mounts | sort -r; }

# in_pods: the processes of pods, by their control group.
in_pods() { find /sys/fs/cgroup -path "*/$name/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u; }

if [ -s "$directory/network" ]; then
    name="$(cat "$directory/network")"
    # Whatever restarts the others, as containerd, lives in the network namespace.
    for _ in $(seq 50); do
        pids="$(ip netns pids "$name" 2>/dev/null; in_pods)"
        [ -n "$pids" ] || break
        kill -9 $pids 2>/dev/null
        sleep 0.1
    done
    mounts_below "$directory" | xargs -r -n 50 umount -l 2>/dev/null
    find /sys/fs/cgroup -depth -type d \( -path "*/$name" -o -path "*/$name/*" \) -exec rmdir {} + 2>/dev/null
    ip netns del "$name" 2>/dev/null
fi
if [ -n "$(mounts_below "$directory")" ]; then
    echo "remove.sh: something below $directory is still mounted; it is left alone" >&2
    exit 1
fi
rm -rf --one-file-system "$directory"
