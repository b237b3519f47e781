PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt $(wildcard src/* src/*/*)
# One environment per interpreter: another PYTHON makes it anew.
MADE := $(VENV)/made-with$(subst /,-,$(PYTHON))

.PHONY: help train test test-all sanitize bench bench-peers lint clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "PYTHON=python3.13 chooses the interpreter"

train: $(VENV)/train  ## train a network on handwritten digits, in seconds
	$(BIN)/lrcore train $(ARGS)

test: $(VENV)/test  ## run the tests
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: $(VENV)/test  ## run the slow tests too
	$(BIN)/python -m pytest $(ARGS)

sanitize:  ## the tests of the compiled modules under the sanitizers of GCC, in environments of their own
	.ci/sanitize address $(ARGS)
	.ci/sanitize thread $(ARGS)

bench: $(VENV)/bench  ## time every rule on every build against the NumPy reference
	$(BIN)/python -m pytest bench --benchmark-columns=median,iqr,rounds --benchmark-sort=name $(ARGS)

bench-peers: $(VENV)/peers  ## time AdamW and its kin beside other libraries
	$(BIN)/lrcore bench --peers $(ARGS)

lint: $(VENV)/lint  ## ruff, mypy --strict, cython-lint, stubs against what is compiled
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src  # it calls pycodestyle by name
	$(BIN)/python .ci/stubs.py

clean:  ## remove the environment and everything built
	rm -rf $(VENV) $(VENV)-address $(VENV)-thread build dist

$(MADE):
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

# An editable install finds the compiled kernels, wherever Python is started.
$(VENV)/built: $(MADE) $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# What the extra of the same name needs.
$(VENV)/train $(VENV)/test $(VENV)/bench $(VENV)/peers $(VENV)/lint: $(VENV)/%: $(VENV)/built
	$(BIN)/python -m pip install --quiet 'lrcore[$*]'
	touch $@

# Of torch, the build for CPUs alone, which is a tenth of the size.
$(VENV)/peers: $(VENV)/torch
$(VENV)/torch: $(MADE)
	$(BIN)/python -m pip install --quiet --extra-index-url https://download.pytorch.org/whl/cpu 'torch==2.13.0'
	touch $@
