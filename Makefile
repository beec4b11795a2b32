# `make demo` and `make test` set up all they need in .venv; the only requirements are Python 3.11+ and make.

PYTHON ?= python3
PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo dev test check format docs picture lock bench clean

help:  ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(READY): $(VENV)/.locked pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; set it with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up $(VENV) from requirements.lock (once, a minute or two) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

demo: $(READY)  ## Run the pipeline for the last seven days over the sandbox API
	@$(BIN)/synthflow-assets demo

dev: $(READY)  ## Dagster's UI and daemon, at PORT (3000); over the sandbox where no key is set
	@$(BIN)/synthflow-assets dev --port $(PORT)

test: $(READY)  ## Run every test
	@$(BIN)/python -m pytest --numprocesses logical --dist worksteal $(PYTEST_ARGUMENTS)

check: $(READY)  ## Lint, formatting, types, layers, generated docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/lint_page.py
	@$(BIN)/python scripts/generate_docs.py --check
	@$(BIN)/python scripts/take_picture.py --check

format: $(READY)  ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(READY)  ## Write the generated parts of the docs
	@$(BIN)/python scripts/generate_docs.py

picture: $(READY)  ## Take the README's picture of the report anew (needs Chromium)
	@$(BIN)/python scripts/take_picture.py

lock:  ## Resolve the dependencies anew (needs uv)
	@scripts/lock --upgrade

bench: $(READY)  ## Land the same calls with this package and its peers; SCENARIOS="100k latency" picks some
	@$(BIN)/python -m benchmarks $(SCENARIOS)

clean:  ## Remove what the project made here, its data excepted
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
