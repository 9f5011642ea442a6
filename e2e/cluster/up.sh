#!/usr/bin/env bash
# Brings up a Kubernetes cluster with Watchkeeper installed and reachable, until down.sh.
#
#   up.sh [DIRECTORY]      (by default `cluster` in the cache)
#
# The cluster is, in this order, the one that WATCHKEEPER_KUBECONFIG names (its nodes must be able to
# pull WATCHKEEPER_IMAGE, as registry.example/watchkeeper:0.1.0), one of `kind` where that and a
# container engine are there, or one of its own, which needs root and a Debian machine.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
export WATCHKEEPER_CACHE="${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$WATCHKEEPER_CACHE/target}"
directory="$(realpath -m "${1:-$WATCHKEEPER_CACHE/cluster}")"
image=watchkeeper.test/watchkeeper:dev
postgres=()

step() { printf '\n== %s (%d:%02d)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)) >&2; }

# down.sh removes it with all that is in it.
new_directory() {
    if [ -n "$(ls -A "$directory" 2>/dev/null)" ]; then
        echo "$directory is not empty: choose another directory" >&2
        exit 1
    fi
    mkdir -p "$directory"
    chmod 700 "$directory"
}

own_cluster() {
    [ "$(id -u)" = 0 ] || { echo "A cluster of one's own needs root, for its network; or install kind and a container engine, or set WATCHKEEPER_KUBECONFIG" >&2; exit 1; }
    if [ -e "$directory/network" ]; then
        if ip netns pids "$(cat "$directory/network")" 2>/dev/null | grep -q .; then
            echo "A cluster already runs in $directory: end it with $here/down.sh $directory" >&2
            exit 1
        fi
        # A machine that went down took the cluster with it, and left its files.
        "$here/remove.sh" "$directory"
    fi
    new_directory
    { read -r KUBECONFIG && read -r kubectl; } < <("$CARGO_TARGET_DIR/debug/watchkeeper-cluster" "$directory") ||
        { echo "The cluster did not start: its logs are in $directory" >&2; exit 1; }
}

# Archives of images, a line each.
archives() { "$root/e2e/images/build.sh" watchkeeper postgres sample-app; }

if [ -n "${WATCHKEEPER_KUBECONFIG:-}" ]; then
    kind=given
    image="${WATCHKEEPER_IMAGE:-}"
    [ -n "${WATCHKEEPER_IMAGE:-}" ] || { echo "WATCHKEEPER_IMAGE must name an image that the nodes of WATCHKEEPER_KUBECONFIG can pull" >&2; exit 1; }
elif command -v kind >/dev/null && { docker info || podman info; } >/dev/null 2>&1; then
    kind=kind
else
    kind=own
fi

step 'kubectl and Helm'
tools="$("$here/build.sh" kubernetes)"
helm="$("$here/build.sh" helm)/helm"
kubectl="$tools/kubectl"
if [ "$kind" = own ]; then
    step "the node's programs"
    "$here/deps.sh" etcd containerd runc cni network >/dev/null
    "$here/build.sh" node coredns storage >/dev/null
fi
if [ "$kind" != given ]; then
    step 'the product and its images'
    (cd "$root" && cargo build --package watchkeeper --package watchkeeper-operator --package watchkeeper-testkit)
    images="$(archives)"
    postgres=(--set postgresImage=watchkeeper.test/postgres:dev)
fi

step 'the cluster'
case "$kind" in
given) KUBECONFIG="$WATCHKEEPER_KUBECONFIG" ;;
kind)
    new_directory
    KUBECONFIG="$directory/kubeconfig"
    touch "$directory/kind"
    kind create cluster --name watchkeeper --kubeconfig "$KUBECONFIG" --wait 2m
    while read -r archive; do kind load image-archive --name watchkeeper "$archive"; done <<<"$images"
    ;;
own)
    own_cluster
    ctr="$("$here/deps.sh" containerd)/ctr"
    while read -r archive; do
        "$ctr" --address "$directory/containerd.sock" --namespace k8s.io images import "$archive" >&2
    done <<<"$images"
    ;;
esac
export KUBECONFIG

step 'Watchkeeper'
"$helm" upgrade --install watchkeeper "$root/charts/watchkeeper" --namespace watchkeeper --create-namespace \
    --set image.repository="${image%:*}" --set image.tag="${image##*:}" "${postgres[@]}" --wait --timeout 5m >&2
"$kubectl" apply -f "$root/crds/samples" >&2
"$kubectl" wait wki/shop --for=condition=Ready --timeout=5m >&2
"$kubectl" get --raw /api/v1/namespaces/default/services/shop-api:http/proxy/api/health >/dev/null
version="$("$kubectl" version -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | tail -n 1)"
if [ "$kind" = own ]; then
    address() { "$kubectl" get service "$1" -o 'jsonpath=http://{.spec.clusterIP}:{.spec.ports[0].port}'; }
    api="$(address shop-api)" logger="$(address shop-logger)" forward=''
else
    api=http://127.0.0.1:3000 logger=http://127.0.0.1:8000
    forward="
    kubectl port-forward service/shop-api 3000 &
    kubectl port-forward service/shop-logger 8000 &"
fi
step 'ready'

cat <<END

Watchkeeper runs in pods of Kubernetes $version.

    export KUBECONFIG=$KUBECONFIG
    alias kubectl=$kubectl
    kubectl get wki,wke,pods
$forward
  overview   $api/, whose password is
             kubectl get secret shop-admin -o jsonpath='{.data.token}' | base64 -d
  clients    server URL $logger, with the key
             kubectl get secret shop-web-key -o jsonpath='{.data.api-key}' | base64 -d

The sample endpoint asks https://example.com/${forward:-, which nothing in this cluster can reach, so it is Down.}
END
[ "$kind" = given ] || cat <<END
Logs are in $directory. End it with
    make cluster-down
END
