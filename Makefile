# One name per task; CI calls the same ones. `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export KSNAP_TOOLS := $(or $(KSNAP_CACHE_DIR),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ksnap)/tools
export PATH := $(KSNAP_TOOLS)/uv/bin:$(KSNAP_TOOLS)/go/bin:$(KSNAP_TOOLS)/docker-registry/usr/bin:$(PATH)
run := uv run --locked --all-extras

.PHONY: help setup demo test test-fast test-thorough cluster cluster-down lint types fmt bench docs
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## everything that a checkout needs, on a bare Debian machine too
	@./dev/setup

demo: setup ## freeze a slow pod on one node, start it again on another; takes a person by the hand
	@$(run) python -m dev.demo

test: lint types test-fast cluster ## what CI asks, from nothing (15 minutes on two cores, 45 on two slow ones)
	$(run) pytest tests/cluster --timeout 600 -m "not thorough"

test-thorough: cluster ## real programs restored, the development cluster's own recovery, 1 GB, and cosign's own word
	@for tool in cosign metrics-server prometheus; do $(run) python -m dev.cluster tool $$tool >/dev/null; done
	$(run) pytest tests --timeout 900 -m thorough

test-fast: setup ## the tests that need no cluster
	cd runtime && go test ./...
	@for tool in helm skopeo; do $(run) python -m dev.cluster tool $$tool >/dev/null; done
	$(run) pytest tests --ignore tests/cluster --timeout 240 -m "not thorough"

cluster: setup ## the development cluster: two nodes, two registries
	@$(run) python -m dev.cluster up

cluster-down: ## end the cluster and what the demo left running
	@$(run) python -m dev.demo stop
	@$(run) python -m dev.cluster down

lint: setup ## ruff and the directions of imports
	$(run) ruff check .
	$(run) ruff format --check .
	$(run) lint-imports

types: setup ## mypy --strict over everything, and go vet
	$(run) mypy
	cd runtime && go vet ./...

fmt: setup ## let ruff mend what it can
	$(run) ruff check --fix .
	$(run) ruff format .

bench: cluster ## ratios against peers, as a table and as JSON in bench/results
	$(run) python -m bench

docs: setup ## write the generated references again: settings, errors, CLI, openapi.json
	$(run) python -m dev.docs
