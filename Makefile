# `make run` and `make test` do everything, from a fresh clone: see README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
PINS := requirements.lock pyproject.toml
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c requirements.lock
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: run test slow lint bench lock

run: $(VENV)/installed
	@if [ -n "$$(ls -A .snakemake/locks 2> /dev/null)" ]; then $(BIN)/python workflow/unlock.py; fi
	@$(BIN)/snakemake

test: $(VENV)/installed-dev
	$(PYTEST) -n auto --maxprocesses 4 --dist loadfile

slow: $(VENV)/installed-dev
	$(PYTEST) -m slow

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(BENCH)/installed
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BENCH)/bin/python -m benchmarks

lock:
	$(PYTHON) envs/lock.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Error: Python 3.11 or later is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(PINS) | $(BIN)/python
	@echo "Installing into $(VENV): about 2 GB, a few minutes the first time."
	@$(INSTALL) -e .
	@touch $@

$(VENV)/installed-dev: $(PINS) | $(BIN)/python
	@echo "Installing into $(VENV): about 2 GB, a few minutes the first time."
	@$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/installed

# The peers, in an environment of their own; their pins can't move the torch that is measured.
$(BENCH)/installed: $(PINS) benchmarks/requirements.txt
	@echo "Installing into $(BENCH): about 1 GB, a few minutes the first time."
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install -qq --disable-pip-version-check -c requirements.lock torch scipy pot tqdm
	@$(BENCH)/bin/python -m pip install -qq --disable-pip-version-check --no-deps -r benchmarks/requirements.txt -e .
	@touch $@
