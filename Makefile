# Two commands for a fresh machine; both make .venv first, which needs Python 3.11 or newer.
#
#   make demo   meta-train on simulated images, fine-tune, compare with random initialisation
#   make test   the test suite
#
# Others: make lint, make golden (rewrites tests/golden/*.npz with PyTorch).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: demo test lint golden

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[test,lint]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m experiments.demo --workdir=$(DEMO)

test: $(VENV)/installed
	$(BIN)/python -m pytest --numprocesses=auto --durations=10

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

golden: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[golden]'
	$(BIN)/python tests/golden/make_golden.py
