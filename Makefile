# The chores of kplan, one word each. `make setup` is done by the others when needed.

.DEFAULT_GOAL := help
.PHONY: help setup demo unit test check confluent corpus golden docs faults bench format site release package clean

BIN := .venv/bin
PYTHON := $(BIN)/python
RUNTIME := .venv/.runtime
DEVELOPMENT := .venv/.development
WITHOUT_SERVICES := tests/unit tests/cases tests/import

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## */\1\t/p' $(MAKEFILE_LIST)

setup: $(DEVELOPMENT)  ## make .venv with kplan and what its development needs

demo: $(RUNTIME)  ## show kplan at work on a simulated cluster; needs no server
	@$(PYTHON) stacks/demo.py

# What Python compiles is kept in .venv, also where it is told to write nothing: else it compiles all tests in each run.
unit: $(DEVELOPMENT)  ## run the tests that need no service and are not slow; run it after every edit
	@KPLAN_TEST_REUSE=1 PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX='$(abspath .venv)/compiled' \
	  $(PYTHON) -m pytest -q -n 3 --dist loadgroup -m 'not slow' --hypothesis-profile=unit --spent $(WITHOUT_SERVICES)

test: $(DEVELOPMENT)  ## run every test that this machine can run
	@$(PYTHON) -m pytest -n 3 --dist loadgroup

check: $(DEVELOPMENT)  ## formatting, lint, types, and the limits of the code's shape
	@status=0; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/mypy --strict kplan stacks/plan_from_python.py || status=1; \
	$(PYTHON) -m tests.shape || status=1; \
	exit $$status

confluent: $(DEVELOPMENT)  ## run the contract of subjects on a registry of yours: URL=https://NAME:PASSWORD@HOST
	@test -n '$(URL)' || { echo "error: say which registry: make confluent URL=https://NAME:PASSWORD@HOST" >&2; exit 2; }
	@KPLAN_TEST_REGISTRY='$(URL)' $(PYTHON) -m pytest -q -k yours tests/contract/test_subjects.py

corpus: $(DEVELOPMENT)  ## import every file of a folder, and judge what came of each: DIR=FOLDER
	@$(PYTHON) -m tests.corpus '$(DIR)'

golden: $(DEVELOPMENT)  ## rewrite all expected outputs: tests/cases, tests/import; review the diff
	@$(PYTHON) -m pytest tests/cases tests/import --golden

docs: $(DEVELOPMENT)  ## write docs/reference from the templates, the schemas, the commands and the codes
	@$(PYTHON) docs/reference/build.py && $(PYTHON) docs/reference/pages.py

faults: $(DEVELOPMENT)  ## kill kplan at every point, break everything around it, and look what is left; takes hours
	@$(PYTHON) -m tests.faults

bench: $(DEVELOPMENT)  ## measure kplan against the least that any tool could take, and other tools: PEERS=DIR
	@KPLAN_BENCH_PEERS='$(if $(PEERS),$(abspath $(PEERS)))' $(PYTHON) -m tests.bench

format: $(DEVELOPMENT)  ## format the code and mend what lint can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

site: $(DEVELOPMENT)  ## build the documentation as a site into build/site
	@$(PYTHON) docs/site/build.py

release: $(DEVELOPMENT)  ## make all files of a release in dist/, and upload nothing: TAG=v1.2.3
	@$(PYTHON) .ci/release.py $(TAG)

package: $(DEVELOPMENT)  ## build the sdist and the wheel into dist/
	@$(PYTHON) -m hatchling build

clean:  ## remove what was made here, .venv too
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find kplan tests stacks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# An environment is made anew in place when pyproject.toml changes. Development includes runtime.
$(RUNTIME): pyproject.toml | $(PYTHON)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEVELOPMENT): pyproject.toml | $(PYTHON)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(RUNTIME) $@

$(PYTHON):
	@for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  $$python -c 'import ensurepip, venv' 2>/dev/null || { lacking=$$python; continue; }; \
	  exec $$python -m venv .venv; \
	done; \
	if [ -n "$$lacking" ]; then echo "error: $$lacking lacks venv; on Debian: apt-get install python3-venv" >&2; \
	else echo "error: kplan needs Python 3.11 or later (python3.11 or python3 on PATH), and there is none" >&2; fi; \
	exit 1
