# Each target does its own set-up, once. A newcomer needs `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN_ARGS ?=

.PHONY: help demo test check lab clean

help:
	@echo "make demo   measure the embedded server through the notebooks; ends with the path of a report"
	@echo "make test   run the tests"
	@echo "make check  ruff, mypy --strict, import-linter"
	@echo "make lab    JupyterLab with the notebooks"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "benchkit needs Python 3.11 or later; name one by: make PYTHON=python3.11 …" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing benchkit into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

demo: $(READY)
	@$(BIN)/python -m benchkit demo

test: $(READY)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lab: $(READY)
	@$(BIN)/jupyter lab notebooks

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
