# On a fresh machine with git, make and Python 3.11 or later: make demo, make test, make test-frameworks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.demo-installed
FRAMEWORKS := .venv-frameworks
FRAMEWORKS_STAMP := $(FRAMEWORKS)/.installed

.PHONY: demo demo-sweep test test-fast test-frameworks chaos check format lint types docs pages bench clean

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable .
	$(BIN)/python -m compileall -q git_replicate
	touch $@

$(DEMO_STAMP): $(STAMP) examples/digits/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r examples/digits/requirements.txt
	touch $@

demo: $(DEMO_STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh .demo

demo-sweep: $(DEMO_STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo-sweep.sh .demo-sweep

# Where it is set, pytest would rewrite every file of tests again each time.
export PYTHONDONTWRITEBYTECODE :=

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal

# Without the tests marked `slow`: one in fourteen, and half of the time.
test-fast: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

# The small versions of these run in `make test`; SEED=7 makes a storm again. A quarter of an hour on a quiet machine.
SEED ?= 1
chaos: $(STAMP)
	GIT_REPLICATE_CHAOS=$(SEED) $(BIN)/python -m pytest -n 2 --timeout 3000 tests/test_storms.py tests/test_chaos.py tests/store/test_crashes.py

# Programs under the real libraries (PyTorch, Lightning, wandb, ...): some 2 GB in an environment of their own.
$(FRAMEWORKS_STAMP): tests/frameworks.txt
	test -x $(FRAMEWORKS)/bin/python || $(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

test-frameworks: $(STAMP) $(FRAMEWORKS_STAMP)
	GIT_REPLICATE_TEST_PYTHON=$(CURDIR)/$(FRAMEWORKS)/bin/python $(BIN)/python -m pytest -n auto -rs -m frameworks

check: $(STAMP) format lint types docs test-fast

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m tools --check

pages: $(STAMP)
	$(BIN)/python -m tools

bench: $(STAMP)
	$(BIN)/python -m bench.run
	$(BIN)/python -m bench.training

clean:
	rm -rf $(VENV) $(FRAMEWORKS) .demo build dist
