# Every target first makes .venv from constraints.txt if it is missing or stale.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
SECURITY := $(VENV)/.security
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false
# What is compiled once need not be again, in any process.
export PYTHONDONTWRITEBYTECODE =

DATA ?= ../shared/data
# Test processes beside each other, of one thread each.
TEST_PROCESSES ?= 3

.PHONY: demo serve test test-all check check-security heads canary clean

demo: $(STAMP)
	$(BIN)/python -m service.demo

serve: $(STAMP)
	$(BIN)/tunegate serve

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

test-all: $(STAMP)
	$(BIN)/python -m pytest -m "not gpu"

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py

# Code, licences of what is shipped beside it, and known vulnerabilities: the last only
# where a database of them can be reached, and it says so where none can.
check-security: $(SECURITY)
	$(BIN)/bandit -q -c pyproject.toml -r detectors trial service benchmark
	$(BIN)/pip-licenses --format=csv --output-file=build/licences.csv
	$(BIN)/python -m pip check
	$(BIN)/python .ci/audit.py

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

$(SECURITY): $(STAMP)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[security]'
	mkdir -p build
	touch $(SECURITY)
