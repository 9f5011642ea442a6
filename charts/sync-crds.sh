#!/usr/bin/env bash
# Copies what is generated (the kinds, the operator's permissions) into the chart and the
# kustomization, neither of which may reach outside its own directory.
#
#   sync-crds.sh            copies
#   sync-crds.sh --check    changes nothing and fails when a copy differs
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
check=false
[ "${1:-}" = --check ] && check=true

# sync SOURCE TARGET: makes TARGET hold SOURCE's YAML files and nothing else.
sync() {
    local source="$root/$1" target="$root/$2"
    if ! compgen -G "$source/*.yaml" >/dev/null; then
        echo "$1 holds nothing: run 'make generate'" >&2
        exit 1
    fi
    if $check; then
        diff -r "$source" "$target" >&2 || { echo "$2 differs from $1: run 'make generate'" >&2; exit 1; }
    else
        mkdir -p "$target"
        rm -f "$target"/*.yaml
        cp "$source"/*.yaml "$target"
    fi
}

sync crds/generated charts/watchkeeper/files/crds
sync crds/generated kustomize/base/crds
sync operator/generated charts/watchkeeper/files/rbac
sync operator/generated kustomize/base/rbac
