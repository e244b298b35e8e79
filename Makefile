# Every target does its own set-up: `make demo` and `make test` work on a fresh clone.
#   make demo VENV=/somewhere/else PYTHON=python3.11
PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
JOBS ?= 2
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -c constraints.txt

.PHONY: demo test test-fast test-lowest test-third-party test-lerobot audit lint format type docs clean

demo: $(VENV)/installed-all
	$(BIN)/parrot demo

test: lint type
	$(BIN)/pytest -n $(JOBS)

test-fast: $(VENV)/installed-dev
	$(BIN)/pytest -n $(JOBS) -m "not slow"

# The same with the lowest versions that pyproject.toml allows; old ones warn of what is to come.
# Minari needs NumPy 2.
test-lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install -c constraints-lowest.txt -e ".[envs,sb3,data,cli,train,plots,lerobot]" \
		hypothesis pytest pytest-xdist
	$(LOWEST)/bin/pytest -n $(JOBS) -m "not slow" -o filterwarnings=

# Known vulnerabilities among what is installed; needs the network.
audit: $(VENV)/installed-all
	$(BIN)/python -m pip install pip-audit
	$(BIN)/pip-audit --local --skip-editable

# Envs, algorithms and the zoo of other projects, in a virtual environment of their own.
test-third-party: THIRD := $(VENV)-third-party
test-third-party:
	test -x $(THIRD)/bin/python || $(PYTHON) -m venv $(THIRD)
	$(THIRD)/bin/python -m pip install -q -c constraints.txt -e ".[all,dev,third-party]"
	MUJOCO_GL=$${MUJOCO_GL:-egl} $(THIRD)/bin/python -m pytest tests/third_party
	$(THIRD)/bin/python -m pytest tests/test_docs.py tests/test_examples.py -k "tools or onnx"

# LeRobot's policies as priors. It wants older versions than constraints.txt has.
test-lerobot: LEROBOT := $(VENV)-lerobot
test-lerobot:
	test -x $(LEROBOT)/bin/python || $(PYTHON) -m venv $(LEROBOT)
	$(LEROBOT)/bin/python -m pip install -q -e ".[sb3,data,lerobot,lerobot-policies]" \
		"lerobot[dataset,diffusion]" pytest
	$(LEROBOT)/bin/python -m pytest tests/third_party/test_lerobot.py \
		tests/test_examples.py -k lerobot

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

type: $(VENV)/installed-dev
	$(BIN)/mypy

# The site, at docs/_build/html/index.html; a test builds it too, elsewhere.
docs: $(VENV)/installed-dev
	$(BIN)/sphinx-build -W --keep-going -n -q -b html docs docs/_build/html

clean:
	rm -rf $(VENV) $(VENV)-third-party $(VENV)-lerobot dist docs/_build .mypy_cache .pytest_cache .ruff_cache
	find parrot_wrapper parrot_envs parrot_table tests examples -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What a user needs. Made anew when the requirements change.
$(VENV)/installed-all: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[all]"
	touch $@

# The same and what the checks need.
$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[all,dev,docs]"
	touch $@ $(VENV)/installed-all
