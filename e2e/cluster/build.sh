#!/usr/bin/env bash
# Builds the programs that no Debian package has, once per machine, from the Go module proxy.
#
#   build.sh NAME...      (kubernetes when nothing is named)
#
#   kubernetes     kube-apiserver, kube-controller-manager, kubectl
#   node           kube-scheduler, kubelet, kube-proxy
#   coredns        CoreDNS, with what a cluster's name service needs
#   storage        what makes a test cluster's persistent volumes
#   cert-manager   its controllers, as far as a test cluster needs them
#   metrics-server what tells autoscalers how much CPU pods use
#   helm           Helm
#   kubeconform    kubeconform, which checks manifests against JSON schemas
#   glua           the Lua of Argo CD, which runs health checks
#
# and directories with the definitions of other projects' kinds, each project's in one of its own:
#
#   third-party-crds   prometheus-operator, gateway-api, cert-manager
#   gitops-crds        argo-cd, flux-kustomize, flux-source
#
# Prints the directory that holds each one's programs on stdout, a line each, and progress on
# stderr. What is already built costs a few milliseconds. Any number may run at the same time.
set -euo pipefail

HELM_VERSION=v4.3.1
KUBERNETES_VERSION=v1.36.3
METRICS_SERVER_VERSION=v0.9.0
KUBECONFORM_VERSION=v0.8.0
GLUA_VERSION=v1.1.2

# Where the modules of other projects keep the definitions of their kinds.
THIRD_PARTY_CRDS=(
    "prometheus-operator github.com/prometheus-operator/prometheus-operator@v0.85.0 example/prometheus-operator-crd"
    "gateway-api sigs.k8s.io/gateway-api@v1.6.3 config/crd/standard"
    "cert-manager github.com/cert-manager/cert-manager@v1.21.2 deploy/crds"
)
GITOPS_CRDS=(
    "argo-cd github.com/argoproj/argo-cd/v3@v3.5.7 manifests/crds"
    "flux-kustomize github.com/fluxcd/kustomize-controller@v1.9.6 config/crd/bases"
    "flux-source github.com/fluxcd/source-controller@v1.9.6 config/crd/bases"
)

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}"
tools="$cache/tools"
mkdir -p "$tools"

export GOFLAGS="-mod=readonly -buildvcs=false"
export CGO_ENABLED=0

say() { echo "build.sh: $*" >&2; }

# build_kubernetes PROGRAMS DIRECTORY
build_kubernetes() {
    local programs="$1" out="$2" version="$KUBERNETES_VERSION" flags="-s -w" package program started
    local major minor
    major="${version#v}"; major="${major%%.*}"
    minor="${version#v*.}"; minor="${minor%%.*}"
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
        flags+=" -X $package.gitTreeState=clean"
    done
    for program in $programs; do
        started=$SECONDS
        say "building $program $version (the first build on a machine takes minutes)"
        (cd "$here" && go build -trimpath -ldflags "$flags" -o "$out/$program" "k8s.io/kubernetes/cmd/$program") >&2
        say "built $program in $((SECONDS - started)) s"
    done
}

# build_own NAME DIRECTORY: the program of the folder NAME beside this script.
build_own() {
    local program="$1" out="$2" started=$SECONDS
    say "building $program"
    (cd "$here/$program" && go build -trimpath -ldflags "-s -w" -o "$out/$program" .) >&2
    say "built $program in $((SECONDS - started)) s"
}

# key FUNCTION FILE...: tells one build of the same version from another.
key() {
    { declare -f "$1"; cat "${@:2}"; } | sha256sum | cut -c1-12
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

# collect_crds LINE... DIRECTORY: each line with a project, its module and the path inside it.
collect_crds() {
    local out="${*: -1}" line project module path directory file
    for line in "${@:1:$#-1}"; do
        read -r project module path <<<"$line"
        say "fetching the kinds of $module"
        directory="$(cd / && go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')"
        mkdir "$out/$project"
        # Nothing else that lies there, as admission policies or documents.
        grep -l '^kind: CustomResourceDefinition$' "$directory/$path"/*.yaml | while read -r file; do
            install -m 644 "$file" "$out/$project"
        done
    done
}

build_helm() { install_go_program "$1" "helm.sh/helm/v4/cmd/helm@$HELM_VERSION"; }
build_metrics_server() {
    install_go_program "$1" "sigs.k8s.io/metrics-server/cmd/metrics-server@$METRICS_SERVER_VERSION"
}
build_glua() { install_go_program "$1" "github.com/yuin/gopher-lua/cmd/glua@$GLUA_VERSION"; }
build_kubeconform() {
    install_go_program "$1" "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM_VERSION"
}

[ $# -gt 0 ] || set -- kubernetes
for what in "$@"; do
    case "$what" in
    kubernetes)
        once "kubernetes-$KUBERNETES_VERSION-$(key build_kubernetes "$here/go.mod" "$here/go.sum")" \
            build_kubernetes "kube-apiserver kube-controller-manager kubectl"
        ;;
    node)
        once "node-$KUBERNETES_VERSION-$(key build_kubernetes "$here/go.mod" "$here/go.sum")" \
            build_kubernetes "kube-scheduler kubelet kube-proxy"
        ;;
    coredns | storage | cert-manager)
        once "$what-$(key build_own "$here/$what"/{go.mod,go.sum,main.go})" build_own "$what"
        ;;
    metrics-server) once "metrics-server-$METRICS_SERVER_VERSION" build_metrics_server ;;
    helm) once "helm-$HELM_VERSION" build_helm ;;
    kubeconform) once "kubeconform-$KUBECONFORM_VERSION" build_kubeconform ;;
    glua) once "glua-$GLUA_VERSION" build_glua ;;
    third-party-crds)
        once "third-party-crds-$(sha256sum <<<"${THIRD_PARTY_CRDS[*]}" | cut -c1-12)" \
            collect_crds "${THIRD_PARTY_CRDS[@]}"
        ;;
    gitops-crds)
        once "gitops-crds-$(sha256sum <<<"${GITOPS_CRDS[*]}" | cut -c1-12)" collect_crds "${GITOPS_CRDS[@]}"
        ;;
    *) say "unknown: $what (kubernetes, node, coredns, storage, cert-manager, metrics-server, helm, kubeconform, glua, third-party-crds, gitops-crds)"; exit 2 ;;
    esac
done
