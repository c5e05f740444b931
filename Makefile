# On a fresh machine with git, make and Python 3.11 or later: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.demo-installed

.PHONY: demo test check format lint types docs pages bench clean

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable .
	touch $@

$(DEMO_STAMP): $(STAMP) examples/digits/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r examples/digits/requirements.txt
	touch $@

demo: $(DEMO_STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh .demo

test: $(STAMP)
	$(BIN)/python -m pytest -n auto

check: $(STAMP) format lint types docs test

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

clean:
	rm -rf $(VENV) .demo build dist
