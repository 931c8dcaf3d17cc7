# `make help` lists what you can do. Everything is installed below this folder: Python packages into .venv,
# Node packages into node_modules. Nothing needs root, a container, a system Node or a key.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)

# A stamp is newer than the files that decide what it stands for, so that a second run installs nothing.
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
TOOLS := $(VENV)/.tools
VENV_LOWEST := .venv-lowest
LOWEST := $(VENV_LOWEST)/.made

# A container may not use all the processors that it sees, and each worker takes half a GB of memory.
WORKERS := --numprocesses logical --maxprocesses 4
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
NODE := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/node
# npm trusts the certificates that this machine trusts, such as those of a proxy, and needs no home directory.
NPM := NODE_OPTIONS=--use-system-ca PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --cache "$(CURDIR)/$(VENV)/.npm"
PYRIGHT := $(NODE) node_modules/pyright/index.js --pythonpath $(BIN)/python

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | while IFS= read -r line; do \
		printf '  make %-12s %s\n' "$${line%%:*}" "$${line##*## }"; done
	@printf '\nPYTHON=/path/to/python3 chooses the interpreter for .venv (3.11 or later).\n'

.PHONY: demo
demo: $(RUNTIME) ## Set up, then run the main job twice: the second run is answered from the cache
	$(BIN)/python examples/demo.py

.PHONY: test
test: $(TOOLS) ## Set up, then run all tests and show what they cover; ARGS="-k name" chooses
	$(BIN)/python -m pytest $(WORKERS) --cov --cov-report=term $(if $(ARGS),--cov-fail-under=0) $(ARGS)

.PHONY: soak
soak: $(TOOLS) ## Set up, then run the long tests: thousands of calls at once; ARGS="-k name" chooses
	$(BIN)/python -m pytest -m "soak or hypothesis" --hypothesis-profile soak --timeout 900 --numprocesses 2 --dist worksteal $(ARGS)

.PHONY: test-lowest
test-lowest: $(TOOLS) $(LOWEST) ## Set up, then run the tests of providers, wires, batches and Redis with the oldest SDKs
	@# The oldest SDKs leave sockets to the garbage collector, which finds them in the middle of some other test.
	$(VENV_LOWEST)/bin/python -m pytest $(WORKERS) -W "ignore:unclosed <socket:ResourceWarning" \
		-m "not newest_sdks and not soak" tests/providers tests/integration \
		tests/wires tests/batches tests/cache/test_redis.py $(ARGS)

.PHONY: check
check: $(TOOLS) ## Lint, format, types (mypy and pyright strict), layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYRIGHT)
	$(BIN)/python -m pytest --quiet tests/test_layers.py

.PHONY: bench
bench: $(TOOLS) ## Measure; SHORT=1 takes two minutes
	$(BIN)/python benchmarks/run.py $(if $(SHORT),--short)

.PHONY: picture
picture: $(RUNTIME) ## Draw docs/demo.svg anew
	$(BIN)/python docs/picture.py

.PHONY: test-dropin
test-dropin: $(DEV) ## Run packages built on 1.x with this one in its place; needs the package index
	INSTRUCTOR_DROPIN=1 $(BIN)/python -m pytest -q -n 0 -m "" tests/dropin $(ARGS)

.PHONY: test-ray
test-ray: $(DEV) ## Install Ray beside the other packages (240 MB), then run a job on it
	$(PIP) --target build/ray 'ray>=2.40'
	PYTHONPATH=build/ray:tests $(BIN)/python -m pytest -q -n 0 -m "" tests/jobs/test_ray.py $(ARGS)

.PHONY: tables
tables: $(RUNTIME) ## Write the tables of docs/providers.md and docs/migrating.md anew
	$(BIN)/python docs/provider_tables.py
	$(BIN)/python docs/migrating_table.py

.PHONY: format
format: $(DEV) ## Put the code into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## Remove everything that make made
	rm -rf $(VENV) $(VENV_LOWEST) benchmarks/.upstream node_modules build dist out htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Some systems ship Python without ensurepip; virtualenv brings its own pip. Called with a folder and an interpreter.
define MAKE_ENVIRONMENT
	@"$(2)" -m venv $(1) 2>/dev/null && $(1)/bin/python -m pip --version >/dev/null 2>&1 \
		|| { rm -rf $(1); "$(2)" -m virtualenv --quiet $(1) 2>/dev/null; } \
		|| { rm -rf $(1); "$(2)" -m pip --disable-pip-version-check install --quiet --target build/virtualenv virtualenv 2>/dev/null \
			&& PYTHONPATH=build/virtualenv "$(2)" -m virtualenv --quiet $(1); } \
		|| { rm -rf $(1); echo "$(2) can make no virtual environment: it has neither venv with ensurepip, nor virtualenv, nor pip." >&2; \
			echo "Install its venv package (on Debian and Ubuntu: python3-venv), or name another: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
endef

$(MADE):
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or later was found. Install one, or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is no Python 3.11 or later. Name another: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	$(call MAKE_ENVIRONMENT,$(VENV),$(PYTHON))
	@touch $@

$(RUNTIME): pyproject.toml requirements/runtime.txt | $(MADE)
	@echo "Installing instructor into $(VENV) ..."
	$(PIP) --constraint requirements/runtime.txt hatchling editables
	$(PIP) --constraint requirements/runtime.txt --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUNTIME) requirements/dev.txt
	@echo "Installing what tests and checks need into $(VENV) ..."
	$(PIP) --requirement requirements/dev.txt --no-build-isolation --editable '.[all]'
	@touch $@

$(TOOLS): $(DEV) package.json package-lock.json
	@echo "Installing Node packages into node_modules ..."
	$(NPM) ci --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

# The environment of `make test-lowest`: dev.txt's tools, and the oldest SDKs instead of the pinned ones.
$(LOWEST): $(MADE) pyproject.toml requirements/lowest.txt
	@echo "Installing the oldest supported SDKs into $(VENV_LOWEST) ..."
	$(call MAKE_ENVIRONMENT,$(VENV_LOWEST),$(BIN)/python)
	$(VENV_LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet --requirement requirements/lowest.txt --editable '.[all]'
	@touch $@
