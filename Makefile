# Every target works as the first command after a clone: it makes .venv from the lock when there is none.
PYTHON ?= python3
BIN := .venv/bin
RUNS := .venv/.runs
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo test check test-openclaw lint bench faults fuzz model mutants soak docs screenshots lock clean

demo: $(RUNS) ## real commands, real heartbeats, a table at the end; under a minute
	$(BIN)/wake demo

test: $(READY) ## everything but what is marked slow; no root
	$(PYTEST) -m "not slow"

check: $(READY) ## everything; installs a browser, libfaketime, Prometheus and spin if it is root and they are missing
	.ci/browser
	.ci/clock
	.ci/promtool
	.ci/spin
	$(PYTEST)

test-openclaw: $(READY) ## a real gateway from npm, on loopback; says so where it cannot
	$(BIN)/python -m tests.openclaw

lint: $(READY) ## style, format, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict dispatcher workers tests docs bench
	$(BIN)/lint-imports

bench: $(READY) ## beside what users would pick instead, a quarter of an hour at most; writes bench/results/speed.md
	$(BIN)/python -m bench

faults: $(READY) ## kills, cuts and lies for a quarter of an hour; writes bench/results/faults.md
	.ci/clock
	$(BIN)/python -m bench.faults

fuzz: $(READY) ## hostile input for ten minutes: parsers by coverage, then real processes; writes bench/results/fuzz.md
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,flower,http,fuzz]'
	$(BIN)/python -m tests.fuzz

model: $(READY) ## every interleaving of the protocol's model, and every rule broken once; writes bench/results/model.md
	.ci/spin
	$(BIN)/python -m tests.model.check

mutants: $(READY) ## one rule changed at a time; the tests that should notice must. Writes bench/results/mutants.md
	$(BIN)/python -m tests.mutants.check

SEEDS ?= 20000
soak: $(READY) ## seeded interleavings on the real Lua, SEEDS=... of them; writes bench/results/seeds.md
	$(BIN)/python -m tests.seeds.check $(SEEDS)

docs: $(READY) ## the reference from the code, and all pages as HTML in build/docs
	$(BIN)/python -m docs.make_reference
	$(BIN)/sphinx-build -W --keep-going -q -c docs -b html . build/docs

screenshots: $(READY) ## the pictures in docs/images, from a live system
	.ci/browser
	$(BIN)/python -m docs.make_screenshots
	$(BIN)/python -m docs.make_top_picture

lock: $(BIN)/python ## newest versions that pyproject.toml allows, for every Python and platform that it allows
	$(BIN)/pip install --quiet 'uv>=0.9,<1'
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --upgrade --no-annotate --no-emit-index-url \
	  --custom-compile-command 'make lock' --quiet --output-file constraints.txt

clean: ## not .wake: it holds accepted completions
	rm -rf .venv .bench .openclaw build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find dispatcher workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(RUNS): pyproject.toml constraints.txt | $(BIN)/python # half of the time that everything takes
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(READY): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,flower,http,docs,tracing,top]'
	@touch $(RUNS) $@
