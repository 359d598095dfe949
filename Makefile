# Every target sets up what it needs: the environment in .venv is made once and reused while it is current.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.current
ARGS ?=

.PHONY: help demo demo-groceries test floors lint type bench tables shots clean

help:
	@echo "make demo            the professions story, then the App on its dataset (ARGS=--no-app: stop before it)"
	@echo "make demo-groceries  the groceries story, then the App (needs npm)"
	@echo "make test            the whole test suite"
	@echo "make floors          the loop once, with the oldest Python and packages that are declared"
	@echo "make lint type       style and docstrings, import contracts; types"
	@echo "make bench           side-by-side measurements (ARGS=occlusion: one of them)"
	@echo "make tables          the README's tables, from the registries"
	@echo "make shots           the pictures of the README, from the real App"
	@echo "make clean           remove the environment and everything the demos made"

$(STAMP): pyproject.toml constraints.txt scripts/setup_environment.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) bash scripts/setup_environment.sh
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python -m examples.professions $(ARGS)

demo-groceries: $(STAMP)
	@$(BIN)/python -m examples.groceries $(ARGS)

test: $(STAMP)
	@bash scripts/need_chromium.sh
	@$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

floors:
	@bash scripts/check_floors.sh

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

type: $(STAMP)
	@$(BIN)/pyright

bench: $(STAMP)
	@$(BIN)/python -m benchmarks $(ARGS)

tables: $(STAMP)
	@$(BIN)/python -m scripts.write_tables

shots: $(STAMP)
	@bash scripts/need_chromium.sh
	@$(BIN)/python -m scripts.take_pictures $(ARGS)

clean:
	rm -rf $(VENV) .venv-floors .demo .pytest_cache .ruff_cache .hypothesis .coverage dist
