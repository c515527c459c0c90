# Commands for a fresh machine. Each makes .venv first, which needs Python 3.11 or newer.
#
#   make demo   meta-train on simulated images, fine-tune, compare with random initialisation
#   make test   the test suite
#   make lint   style, types, dependencies between packages
#   make docs   the documentation site, in site/
#   make golden rewrites tests/golden/*.npz with PyTorch

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: demo test lint docs golden

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test,lint,docs]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m experiments.demo --workdir=$(DEMO)

test: $(VENV)/installed
	$(BIN)/python -m pytest --numprocesses=auto --durations=10
	$(BIN)/python -m pytest --doctest-modules fscs

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --config setup.cfg
	$(BIN)/mypy

docs: $(VENV)/installed
	$(BIN)/mkdocs build --strict

golden: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[golden]'
	$(BIN)/python tests/golden/make_golden.py
