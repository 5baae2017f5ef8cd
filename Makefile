# Everything installs what it needs: Python 3.11+ and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint format bench bench-quick bench-docs bench-pool soak clean

help: ## this text
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## the story: a batch that starves its connection pool, and the fixed one
	@$(BIN)/txprof demo

test: $(VENV)/.test ## all tests, on one Python
	$(BIN)/python -m pytest

test-all: ## all tests, on every CPython 3.11 to 3.14 found; SQLAlchemy 2.0 on the oldest, 2.1 on the others
	$(PYTHON) tools/test_all.py

lint: $(VENV)/.dev ## ruff (lint and format) and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## rewrite the code as lint wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: ## the budgets, measured beside their peers
	$(PYTHON) tools/bench.py

bench-quick: ## the same with a few samples: shows that they run, not the figures
	$(PYTHON) tools/bench.py --quick

bench-docs: ## the same, written into docs/performance.md
	$(PYTHON) tools/bench.py --write

bench-pool: $(VENV)/.test ## what is predicted of connection pools, beside what they do; written into docs/pool.md
	$(BIN)/python tools/pool_predictions.py --write

soak: $(VENV)/.demo ## whether anything grows while the story runs for twice 20 minutes
	$(BIN)/python benchmarks/soak.py

clean: ## remove what these commands made
	rm -rf .venv .venvs .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(VENV)/.demo $(VENV)/.test $(VENV)/.dev: $(VENV)/.%: pyproject.toml hatch_build.py $(wildcard txprof/*.[ch]) | $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(VENV):
	$(PYTHON) tools/python_version.py
	$(PYTHON) -m venv $(VENV)
