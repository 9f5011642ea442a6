#!/usr/bin/env bash
# Ends a cluster with a node and removes every trace of it.
#
#   remove.sh DIRECTORY                     now
#   remove.sh --when-gone PID DIRECTORY     as soon as there is no process PID any more
#   remove.sh --keep-settings               notes the machine's settings that a kubelet changes, to
#                                           be given back when the last cluster is removed
#
# The directory knows its cluster by the file `network`, whose name no other cluster ever has. What is
# not there is no error, so that the leftovers of any crash can be removed.
set -uo pipefail

# A kubelet wants these otherwise, for the whole machine, until the machine starts anew.
settings=/run/watchkeeper-settings
tunables=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes)

keep_settings() {
    local name
    [ -e "$settings" ] || for name in "${tunables[@]}"; do
        [ ! -r "/proc/sys/$name" ] || echo "$name $(cat "/proc/sys/$name")"
    done >"$settings"
}

restore_settings() {
    local name value
    [ -e "$settings" ] && ! ip netns list | grep -q '^watchkeeper-' || return 0
    while read -r name value; do
        echo "$value" >"/proc/sys/$name" || true
    done <"$settings"
    rm -f "$settings"
}

# Two clusters may come and go at the same time.
with_settings() { (flock 8 && "$1") 8>"$settings.lock"; }

case "$1" in
--keep-settings) with_settings keep_settings; exit ;;
--when-gone) tail --pid="$2" -f /dev/null; shift 2 ;;
esac
directory="$(realpath -m "$1")"
[ -d "$directory" ] || exit 0

# One of several who remove it at once.
exec 9<"$directory"
flock 9
[ -d "$directory" ] || exit 0
name="$(cat "$directory/network" 2>/dev/null)"
if [ -n "$name" ] && [[ ! "$name" =~ ^watchkeeper-[0-9a-f]+$ ]]; then
    echo "remove.sh: $directory is no cluster of ours" >&2
    exit 1
fi

mounts_below() { awk -v top="$directory/" 'index($2, top) == 1 { print $2 }' /proc/mounts | sort -r; }

# The processes of pods, by their control group, and of the node, by its network.
alive() {
    ip netns pids "$name" 2>/dev/null
    find /sys/fs/cgroup -path "*/$name/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u
}

if [ -n "$name" ]; then
    # More than once, since some restart the others.
    for _ in $(seq 50); do
        pids="$(alive)"
        [ -n "$pids" ] || break
        kill -9 $pids 2>/dev/null
        sleep 0.1
    done
    mounts_below | xargs -r -n 50 umount -l 2>/dev/null
    find /sys/fs/cgroup -depth -type d \( -path "*/$name" -o -path "*/$name/*" \) -exec rmdir {} + 2>/dev/null
    # What containerd and its network plugins keep where nobody can tell them otherwise.
    cat "$directory"/containerd-state/io.containerd.runtime.v2.task/k8s.io/*/address 2>/dev/null |
        sed -n 's|unix://\(/run/containerd/s/[0-9a-f]*\)|\1\n|gp' | xargs -r rm -f
    rm -f /var/lib/cni/results/"$name"-*
    for sandbox in "$directory"/containerd/io.containerd.grpc.v1.cri/sandboxes/*; do
        rm -f "/var/lib/cni/results/cni-loopback-${sandbox##*/}-lo"
    done
    ip netns del "$name" 2>/dev/null
    with_settings restore_settings
fi
if [ -n "$(mounts_below)" ]; then
    echo "remove.sh: something below $directory is still mounted; it is left alone" >&2
    exit 1
fi
rm -rf --one-file-system "$directory"
