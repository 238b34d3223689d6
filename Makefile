# make demo   run the whole loop on the shipped data (no GPU, no network beyond the package index)
# make test   every test, slow ones included
# make check  format, lint, types and the fast tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check lint format clean help

help:
	@sed -n 's/^# //p' Makefile | head -3

# The stamp is newer than the files that say what to install, or the installation runs again.
$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit("weaklm needs Python 3.11 or newer; name one: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m weaklm demo

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint
	$(BIN)/python -m pytest -q -m "not slow"

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q --nbmake --nbmake-timeout=900

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
