# Every target sets up what it needs in .venv. Required: Python 3.11+ and make.

PYTHON ?= python3
PORT ?= 3000
SECONDS ?= 120
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-fast fuzz check format docs charts picture wheel lock bench clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

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

dev: $(READY)  ## Run the Dagster UI and daemon at PORT (3000), over the sandbox API if no key is set
	@$(BIN)/synthflow-assets dev --port $(PORT)

# Without compiled files, each worker and each process that a test starts would compile the modules again.
test-fast test: export PYTHONDONTWRITEBYTECODE :=

test-fast: $(READY)  ## Run units and specs, without browser, databases and Dagster processes
	@$(BIN)/python -m pytest --numprocesses logical --dist worksteal -m "not slow" $(PYTEST_ARGUMENTS)

test: $(READY)  ## Run all tests
	@$(BIN)/python -m pytest --numprocesses logical --dist worksteal $(PYTEST_ARGUMENTS)

fuzz: $(READY)  ## Try random bytes on the page reader and the decoder for SECONDS (120); SEED=n repeats a run
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

check: $(READY)  ## Check lint, formatting, types, layers, generated docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/lint_page.py
	@$(BIN)/python scripts/compile_charts.py --check
	@$(BIN)/python scripts/generate_docs.py --check
	@$(BIN)/python scripts/take_picture.py --check

format: $(READY)  ## Format the code and fix simple lint errors
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(READY)  ## Write the generated docs
	@$(BIN)/python scripts/generate_docs.py

charts: $(READY)  ## Compile the report's charts after a change
	@$(BIN)/python scripts/compile_charts.py

picture: $(READY)  ## Take the README's picture of the report again (needs Chromium)
	@$(BIN)/python scripts/take_picture.py

wheel: $(READY)  ## Build the wheel file and the source archive in dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build

lock:  ## Resolve the dependencies again (needs uv)
	@scripts/lock --upgrade

bench: $(READY)  ## Run the benchmarks; SCENARIOS="100k ten-agents" selects some
	@$(BIN)/python -m benchmarks $(SCENARIOS)

clean:  ## Remove .venv, caches and builds; keep the data
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
