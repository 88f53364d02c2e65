# Every command of the project. `make demo` and `make test` set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# More than this many test workers only get in each other's way: JAX uses the cores itself.
WORKERS ?= 2
# The tests and the demo spend most of their time in compilation: these halve it, for a tenth or so of the speed of what
# is compiled. The flags are those of the pinned version of JAX.
demo test test-slow: export XLA_FLAGS ?= --xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1

.PHONY: help setup demo test test-slow test-dachs check-dist check-release lint format bench results docs clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: $(STAMP) ## create .venv with pinned versions

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "redflower needs Python 3.11 or later; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $(STAMP)

demo: $(STAMP) ## simulate a two-cloud sightline, infer every star, find the dust (offline)
	rm -rf demo-output
	$(BIN)/redflower demo demo-output

test: $(STAMP) ## the tests (under 12 minutes on two cores)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not slow and not dachs'

test-slow: $(STAMP) ## the long tests
	$(BIN)/python -m pytest -m slow

test-dachs: $(STAMP) ## fetching against a real TAP server; installs DaCHS and PostgreSQL (Debian, root)
	sh tests/dachs/install.sh
	$(BIN)/python -m pytest -m dachs tests/dachs

check-dist: $(STAMP) ## wheel and sdist in an empty environment, running the demo (needs the package index)
	$(BIN)/python -m pytest -m slow tests/test_release.py

check-release: $(STAMP) ## all that a release promises, in order (hours); release-check/index.html says what held
	$(BIN)/python -m scripts.check_release release-check

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check src tests scripts benchmarks
	$(BIN)/ruff format --check src tests scripts benchmarks
	$(BIN)/mypy

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix src tests scripts benchmarks
	$(BIN)/ruff format src tests scripts benchmarks

bench: $(STAMP) ## every promised figure, as ratios within one run
	@for name in engine flow memory train; do echo "== $$name"; $(BIN)/python -m benchmarks.speed.$$name || exit 1; done

results: $(STAMP) ## the figures of the docs again (hours); ONLY=NAME for one; benchmarks/README.md has the names
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

docs: $(STAMP) ## HTML documentation in docs/_build; runs the tutorial
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

clean: ## remove what the other commands made
	rm -rf $(VENV) demo-output release-check docs/_build docs/api/generated benchmarks/output .pytest_cache .ruff_cache .mypy_cache .hypothesis
