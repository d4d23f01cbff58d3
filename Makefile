# Every target first makes .venv from constraints.txt if it is missing or stale.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

DATA ?= ../shared/data

.PHONY: demo serve test test-all check heads canary clean

demo: $(STAMP)
	$(BIN)/python -m service.demo

serve: $(STAMP)
	$(BIN)/tunegate serve

test: $(STAMP)
	$(BIN)/python -m pytest

test-all: $(STAMP)
	$(BIN)/python -m pytest -m "not gpu"

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py

heads: $(STAMP)
	$(BIN)/python -m detectors.training --data $(DATA)

# About an hour on two cores; restarts where it stopped.
canary: $(STAMP)
	$(BIN)/python -m trial.canary.training --data $(DATA) --work build/canary

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt pip
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)
