# Each target does all of its own set-up: a machine needs Python 3.11 or later and make, nothing else.

PYTHON  ?=
WORKERS ?= 2
ARGS    ?=
CORPUS  ?=

VENV  := .venv
PY    := $(VENV)/bin/python
READY := $(VENV)/.ready
CODE  := engine tests transforms tools

.DEFAULT_GOAL := help
.PHONY: help setup demo run test check format docs bench corpus faults lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## play a hospital day through the engine, on this machine only, in under a minute
	@$(PY) -m hcsyncd demo

run: $(READY) ## start the daemon on the reference site (stop it with Ctrl-C)
	@$(PY) -m hcsyncd run --site .

test: check ## all checks, then all tests (ARGS="tests/site -k ward" narrows the tests)
	@echo "tests"
	@$(PY) -m pytest -q -n $(WORKERS) $(ARGS)

check: $(READY) ## format, lint, types, import contract, docs drift
	@echo "format"          && $(PY) -m ruff format --check --quiet .
	@echo "lint"            && $(PY) -m ruff check --quiet .
	@echo "types"           && $(PY) -m mypy --no-error-summary $(CODE)
	@echo "import contract" && $(VENV)/bin/lint-imports --no-logo >$(VENV)/import-contract.log || { cat $(VENV)/import-contract.log; exit 1; }
	@echo "docs drift"      && $(PY) tools/docs.py --check

format: $(READY) ## put the code into the one format, mend what lint can mend
	@$(PY) -m ruff check --quiet --fix-only .
	@$(PY) -m ruff format --quiet .

docs: $(READY) ## write the generated pages of docs/ again
	@$(PY) tools/docs.py --write

bench: $(READY) ## intake and relay rates, as ratios to a yardstick of the same run
	@$(PY) -m hcsyncd bench $(ARGS)

corpus: $(READY) ## every file of a folder through listener and out: make corpus CORPUS=DIR
	@test -d "$(CORPUS)" || { echo "corpus: name a folder of HL7 files: make corpus CORPUS=DIR" >&2; exit 2; }
	@HCSYNCD_CORPUS="$(abspath $(CORPUS))" $(PY) -m pytest -q -p no:randomly tests/flows/test_corpus.py $(ARGS)

faults: $(READY) ## every fault in depth (100 kills, thousands of power cuts), and the table of docs/reliability.md from it
	@rm -f $(VENV)/faults.jsonl
	@HCSYNCD_FAULTS=all HCSYNCD_FAULT_TABLE="$(abspath $(VENV)/faults.jsonl)" \
	  $(PY) -m pytest -q -n $(WORKERS) --timeout 1800 tests/faults $(ARGS)
	@$(PY) tools/fault_table.py $(VENV)/faults.jsonl

setup: $(READY) ## the virtual environment in .venv/, with everything pinned and hashed

lock: $(READY) ## pin the requirements again, after a change of the dependencies in pyproject.toml
	@tools/lock $(VENV)

clean: ## remove everything that was made
	@rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist var
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Commands named python3.x may be there and yet not run (version switchers leave such), so each candidate is tried.
$(READY): requirements.txt requirements-dev.txt
	@if ! $(PY) -c '' 2>/dev/null; then \
	  found=; \
	  for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	    if $$candidate -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      found=$$candidate; break; \
	    fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "hcsyncd needs Python 3.11 or later with its venv module (on Debian: apt install python3-venv)." >&2; \
	    echo "$(or $(PYTHON),None of python3.13 python3.12 python3.11 python3) will not do; name another with: make PYTHON=/path/to/python" >&2; \
	    exit 1; \
	  fi; \
	  echo "virtual environment: $$($$found -V) in $(VENV)/" && $$found -m venv --clear $(VENV); \
	fi
	@echo "dependencies: pinned and hashed, from requirements-dev.txt"
	@$(PY) -m pip install -qq --disable-pip-version-check --no-input --require-hashes -r requirements-dev.txt
	@echo "$(CURDIR)/engine" >"$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/hcsyncd.pth"
	@touch $@
