# Every target does its own set-up: `make demo` and `make test` work on a fresh clone.
#   make demo VENV=/somewhere/else PYTHON=python3.11
PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
JOBS ?= 2
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -c constraints.txt

.PHONY: demo test test-fast test-lowest audit lint format type clean

demo: $(VENV)/installed-all
	$(BIN)/parrot demo

test: lint type
	$(BIN)/pytest -n $(JOBS)

test-fast: $(VENV)/installed-dev
	$(BIN)/pytest -n $(JOBS) -m "not slow"

# The same with the lowest versions that pyproject.toml allows; old ones warn of what is to come.
test-lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install -c constraints-lowest.txt -e ".[all]" \
		hypothesis pytest pytest-xdist
	$(LOWEST)/bin/pytest -n $(JOBS) -m "not slow" -o filterwarnings=

# Known vulnerabilities among what is installed; needs the network.
audit: $(VENV)/installed-all
	$(BIN)/python -m pip install pip-audit
	$(BIN)/pip-audit --local --skip-editable

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

type: $(VENV)/installed-dev
	$(BIN)/mypy

clean:
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache
	find parrot_wrapper parrot_envs tests examples -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What a user needs. Made anew when the requirements change.
$(VENV)/installed-all: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[all]"
	touch $@

# The same and what the checks need.
$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[all,dev]"
	touch $@ $(VENV)/installed-all
