# Everything from a fresh machine: `make demo`, `make test`. Both set up .venv first.

PYTHON ?= python3
# What pip installs torch from; a CPU build is enough for everything here: TORCH="torch --index-url ..."
TORCH ?= torch==2.13.0
VENV ?= .venv
BIN = $(VENV)/bin
VIDEO ?=

.PHONY: demo test check docs oracle blender setup clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nearfar needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[all]" --group test --group lint --group docs
	touch $@

demo: setup
	$(BIN)/nearfar demo --out demo $(if $(VIDEO),--video "$(VIDEO)")

test: setup
	$(BIN)/python -m pytest --cov --cov-report=term

# crowd-kit, which merging is checked against; without it those tests are skipped.
oracle: setup
	$(BIN)/python -m pip install --quiet --group oracle

# Blender as a Python module (Python 3.11), which BVH and GLB files are checked with: 1 GB, and a numpy of its own.
blender: $(VENV)-blender/.ready

$(VENV)-blender/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-blender
	$(VENV)-blender/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)-blender/bin/python -m pip install --quiet --group blender
	touch $@

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: setup
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) $(VENV)-blender demo docs/_build
