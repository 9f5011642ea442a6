# `make run` and `make test` are all that most people need; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One cache outside the checkout for everything that is built or fetched, so that
# a fresh clone does not start from nothing.
export WATCHKEEPER_CACHE ?= $(HOME)/.cache/watchkeeper
export CARGO_TARGET_DIR ?= $(WATCHKEEPER_CACHE)/target

# Where `make run` keeps its store.
DATA ?= $(WATCHKEEPER_CACHE)/run-data

.PHONY: help run test lint generate bench soak images cluster cluster-down own-target

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: own-target ## build and start the product on its embedded store with sample manifests
	@echo 'Building Watchkeeper; the first build on a machine takes some minutes.'
	cargo build --package watchkeeper
	@geoip=$$(e2e/geoip.sh) || { echo 'No country database could be fetched; countries stay unknown.' >&2; geoip=; }; \
	exec "$(CARGO_TARGET_DIR)/debug/watchkeeper" local -f services/watchkeeper/samples --data "$(DATA)" $${geoip:+--geoip "$$geoip"}

test: own-target ## run every test, installing what they need
	e2e/test.sh

lint: own-target ## check formatting, lints, licences and advisories
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo 'cargo-deny is not installed; skipped (cargo install cargo-deny)'; fi

generate: own-target ## write what is generated: the kinds, the operator's permissions, and their copies in chart and kustomization
	cargo run --quiet --package watchkeeper-operator -- crds --output crds/generated
	cargo run --quiet --package watchkeeper-operator -- rbac --output operator/generated
	charts/sync-crds.sh

bench: own-target ## measure ingestion beside raw COPY, questions beside SQL, full pages of the dashboard, and the watch
	cargo bench --package watchkeeper-store --bench ingest
	cargo bench --package watchkeeper-analytics --bench questions
	cargo bench --package watchkeeper-api --bench requests
	cargo build --release --package watchkeeper
	cargo bench --package watchkeeper-e2e --bench ingestion
	cargo bench --package watchkeeper-e2e --bench watch

soak: own-target ## the long forms of the tests that have one
	WATCHKEEPER_SOAK=1 cargo test --package watchkeeper-e2e --test pressure --test durability --test faults --test takeover --test notices -- --nocapture

images: own-target ## build the image of this version with docker, podman or buildah, and its SBOM
	@images/build.sh $(if $(IMAGE),--name "$(IMAGE)") >/dev/null

cluster: own-target ## bring up a Kubernetes cluster with Watchkeeper installed in real pods, and print where it answers
	e2e/cluster/up.sh

cluster-down: ## end that cluster and remove every trace of it
	e2e/cluster/down.sh

own-target:
	@e2e/own-target.sh
