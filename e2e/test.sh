#!/usr/bin/env bash
# Every test of the project, on a machine that has only the toolchains: Rust, Go,
# Python, Node.js, a C compiler and Debian's packages. What else the tests need is
# installed here first, into ${WATCHKEEPER_CACHE:-~/.cache/watchkeeper}.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
export WATCHKEEPER_CACHE="${WATCHKEEPER_CACHE:-$HOME/.cache/watchkeeper}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$WATCHKEEPER_CACHE/target}"
mkdir -p "$WATCHKEEPER_CACHE"
e2e/own-target.sh

step() { printf '\n== %s (%d:%02d)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

step 'programs from Debian: etcd, containerd, Prometheus, PostgreSQL, OpenSSL'
e2e/cluster/deps.sh etcd prometheus postgres containerd runc cni network openssl
step 'Kubernetes, Helm and what else tests need from the Go module proxy'
e2e/cluster/build.sh kubernetes node coredns storage cert-manager metrics-server helm kubeconform glua third-party-crds gitops-crds
step 'published client libraries'
e2e/clients/setup.sh
step 'a browser and what drives it'
e2e/browser/setup.sh
step 'country database'
e2e/geoip.sh
step 'the product and its tests'
# In one go: by themselves, the programs would be built of other variants of most crates than the tests.
cargo build --workspace --bins --tests
step 'images'
e2e/images/build.sh pause postgres sample-app watchkeeper

step 'tests'
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
status=0
cargo test --workspace --no-fail-fast 2>&1 | tee "$log" || status=$?

step 'summary'
# One line for all of cargo's own, one of which ends each test program.
awk '/^test result:/ { for (i = 1; i <= NF; i++) { if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") s += $(i-1) } }
     END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit (p == 0) }' "$log" || status=1
exit "$status"
