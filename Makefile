# Developer surface. Everything sets itself up: a fresh machine needs python3 >= 3.11 with venv, nothing else.
PYTHON ?= python3
BIN := .venv/bin
RUNS := .venv/.runs
STAMP := .venv/.installed
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check fix golden bench lambda clients lock clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(RUNS): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "cw-proxy needs Python 3.11 or newer; PYTHON=... names one"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }
	@echo "Setting up .venv; this takes a minute, once."
	@$(PYTHON) -m venv .venv
	@$(INSTALL) --editable '.[speed]'
	@touch $@

$(STAMP): $(RUNS)
	@echo "Installing what tests and checks need."
	@$(INSTALL) --editable '.[dev,speed]'
	@touch $@

# As a module, the code is this folder's, whatever was installed into .venv since.
demo: $(RUNS) ## Sign in, serve and answer on the built-in emulator
	$(BIN)/python -m cw_proxy demo

test: $(STAMP) ## Everything that must pass
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(STAMP) ## Format, lint, types, dependency rules, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m cogapp --check README.md $$(find docs -name '*.md')

fix: $(STAMP) ## Format, mend what can be mended, write the generated docs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m cogapp -r README.md $$(find docs -name '*.md')

golden: $(STAMP) ## Rewrite the golden files; review the diff
	GOLDEN_UPDATE=1 $(BIN)/python -m pytest tests/golden

bench: $(STAMP) ## CPU per event and added time to first byte, beside a byte relay and a naive translator
	$(BIN)/python -m bench

lambda: $(STAMP) ## Build the package for deploy/sam and deploy/serverless (docs/deploy/lambda.md)
	rm -rf deploy/lambda/dist && $(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir deploy/lambda/dist .
	cp constraints.txt deploy/lambda/dist/

# The acceptance matrix of real clients lives beside the project: CLIENTS_DIR names it, CLIENTS_PREFIX its installs.
CLIENTS_DIR ?= ../shared/clients
CLIENTS_PREFIX ?= .venv/clients
# Options of its runner: `--only NAMES`, `--scenario NAMES`; all there is without any.
CLIENTS ?=
clients: $(STAMP) ## Run real clients against the proxy on the emulator (needs CLIENTS_DIR)
	$(BIN)/python tests/run_clients.py $(CLIENTS_DIR) $(CLIENTS_PREFIX) $(CLIENTS)

lock: ## Resolve the dependencies afresh into constraints.txt
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --disable-pip-version-check --editable '.[dev,speed]'
	.venv-lock/bin/pip freeze --exclude-editable | sort -f > constraints.txt
	rm -rf .venv-lock

clean: ## Remove what was installed and built
	rm -rf .venv .venv-lock .venv-sam dist build tests/node/node_modules tests/node/claude-code/node_modules tests/node/serverless/node_modules deploy/lambda/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
