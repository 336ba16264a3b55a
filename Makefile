# `make` lists what there is; `make demo` and `make test` need no other step before them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
# Extra arguments of pytest: make unit ARGS="-k offsets"
ARGS ?=
# Processes of `make test`. Most tests on servers wait more than they work; each process starts a broker of its own.
WORKERS ?= 2
# Of the fault suite, in seconds; and the number its plan is drawn from: a random one, which it prints.
DURATION ?=
SEED ?=

.PHONY: help demo test lint types unit fuzz integration faults soak chart schemas docs lock servers format clean environment

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: environment ## recordings in, transcripts out: broker, bucket and service in one process
	@$(BIN)/tingxie demo

test: lint types servers ## everything: style, types, imports, unit and property tests, tests on real servers
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: environment ## ruff, import contracts, shell scripts, Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/shellcheck scripts/*.sh .ci/run
	$(BIN)/hadolint Dockerfile

types: environment ## mypy, strict, tests included
	$(BIN)/mypy

unit: environment ## tests without servers
	@$(BIN)/pytest -m "not integration" $(ARGS)

fuzz: environment ## damaged recordings and events; TINGXIE_FUZZ_SEED, TINGXIE_FUZZ_FILES, TINGXIE_FUZZ_EVENTS
	@$(BIN)/pytest -m fuzz $(ARGS)

integration: servers ## tests on a real Kafka and a real bucket
	@$(BIN)/pytest -m integration $(ARGS)

chart: servers ## the Helm chart: lint, rendered objects against Kubernetes' schemas, refused values, alerts, dashboard
	@$(BIN)/pytest tests/chart $(ARGS)

faults: servers ## break everything for DURATION seconds, plan from SEED, and check what became of each record
	@$(BIN)/python -m tests.faults --plain --duration $(or $(DURATION),300) $(if $(SEED),--seed $(SEED)) $(ARGS)

soak: servers ## the same for hours, without the plain loop beside it
	@$(BIN)/python -m tests.faults --duration $(or $(DURATION),14400) $(if $(SEED),--seed $(SEED)) $(ARGS)

schemas: environment ## write schemas/ anew from the models in the code
	@$(BIN)/python -m consumer.events.schemas

docs: environment ## write the generated pages anew: settings, metrics, the chart's values
	@$(BIN)/python scripts/settings_reference.py
	@$(BIN)/python scripts/metrics_reference.py
	@$(BIN)/python scripts/chart_reference.py

format: environment ## lay out the code as `make lint` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## resolve the lock files; ARGS=--upgrade takes the newest versions
	@scripts/setup.sh lock $(ARGS)

servers: environment ## install Kafka, versitygw, toxiproxy, a trace collector, helm and promtool for the integration tests
	@scripts/setup.sh servers

clean: ## remove the environment and all caches of this checkout
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@scripts/setup.sh environment
