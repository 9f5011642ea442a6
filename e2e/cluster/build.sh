#!/usr/bin/env bash
# Builds the programs that no Debian package has, once per machine, from the Go module proxy.
#
#   build.sh [kubernetes] [helm]      (kubernetes when nothing is named)
#
# Prints the directory that holds each one's programs on stdout, a line each, and progress on
# stderr. What is already built costs a few milliseconds. Any number may run at the same time.
set -euo pipefail

HELM_VERSION=v4.3.1
KUBERNETES_VERSION=v1.36.3

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}"
tools="$cache/tools"
mkdir -p "$tools"

export GOFLAGS="-mod=readonly -buildvcs=false"
export CGO_ENABLED=0

say() { echo "build.sh: $*" >&2; }

build_kubernetes() {
    local out="$1" version="$KUBERNETES_VERSION" flags="-s -w" package program started
    local major minor
    major="${version#v}"; major="${major%%.*}"
    minor="${version#v*.}"; minor="${minor%%.*}"
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
        flags+=" -X $package.gitTreeState=clean"
    done
    for program in kube-apiserver kube-controller-manager kubectl; do
        started=$SECONDS
        say "building $program $version (the first build on a machine takes minutes)"
        (cd "$here" && go build -trimpath -ldflags "$flags" -o "$out/$program" "k8s.io/kubernetes/cmd/$program") >&2
        say "built $program in $((SECONDS - started)) s"
    done
}

install_go_program() {
    local out="$1" module="$2" started=$SECONDS
    say "building $module"
    # Outside any module, so that only the program's own go.mod and go.sum count.
    (cd / && GOBIN="$out" go install -trimpath -ldflags "-s -w" "$module") >&2
    say "built $module in $((SECONDS - started)) s"
}

# once NAME COMMAND...: runs COMMAND with a fresh directory, which then becomes $tools/NAME.
once() {
    local name="$1" lock partial
    shift
    if [ ! -d "$tools/$name" ]; then
        exec {lock}>"$tools/$name.lock"
        flock --nonblock "$lock" || { say "waiting for another build of $name"; flock "$lock"; }
        # Whoever held the lock before may have built it.
        if [ ! -d "$tools/$name" ]; then
            command -v go >/dev/null || { say "Go is not installed: https://go.dev/doc/install"; exit 1; }
            rm -rf "$tools/$name".partial.*
            partial="$(mktemp -d "$tools/$name.partial.XXXXXX")"
            chmod 755 "$partial"
            "$@" "$partial"
            mv "$partial" "$tools/$name"
        fi
        exec {lock}>&-
    fi
    echo "$tools/$name"
}

build_helm() { install_go_program "$1" "helm.sh/helm/v4/cmd/helm@$HELM_VERSION"; }

[ $# -gt 0 ] || set -- kubernetes
for what in "$@"; do
    case "$what" in
    kubernetes)
        key="$(cat "$here/go.mod" "$here/go.sum" "${BASH_SOURCE[0]}" | sha256sum | cut -c1-12)"
        once "kubernetes-$KUBERNETES_VERSION-$key" build_kubernetes
        ;;
    helm) once "helm-$HELM_VERSION" build_helm ;;
    *) say "unknown: $what (kubernetes, helm)"; exit 2 ;;
    esac
done
