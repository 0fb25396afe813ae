# Everything that a person or CI runs. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/contracts libs/service_kit libs/devstack \
	services/routing services/inbox_state services/notification services/reporting
DISTRIBUTIONS := contracts service-kit devstack routing inbox-state notification reporting

# The stamp is named after what was installed, so that a changed lock or package installs again.
INSTALLED := $(VENV)/installed-$(shell cat requirements.lock $(addsuffix /pyproject.toml,$(PACKAGES)) | cksum | cut -d' ' -f1)

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(INSTALLED) ## make the virtual environment from the hashed lock

$(INSTALLED):
	@python=; for candidate in $${PYTHON:-} python3 python3.13 python3.12 python3.11; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	[ -n "$$python" ] || { echo "Python 3.11 or newer is needed: none was found (PYTHON=… names one)." >&2; exit 1; }; \
	[ -x $(BIN)/python ] || $$python -m venv $(VENV) || { \
		echo "$$python could not make a virtual environment (Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }; \
	quiet=--quiet; [ ! -t 1 ] || quiet=; \
	echo "installing what requirements.lock names into $(VENV) (about a minute, only when it changed)"; \
	$(BIN)/python -m pip install $$quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		$(addprefix -e ,$(PACKAGES)); \
	rm -f $(VENV)/installed-*; touch $@

.PHONY: demo
demo: setup ## the whole product with a day of traffic, shown in the terminal
	@$(BIN)/python -m devstack.demo

.PHONY: up
up: setup ## the same stack in the background, empty; its addresses go to .devstack/env
	@$(BIN)/python -m devstack.stack up

.PHONY: down
down: setup ## stop it; its data stay in .devstack
	@$(BIN)/python -m devstack.stack down

.PHONY: status
status: setup ## what of it runs
	@$(BIN)/python -m devstack.stack status

.PHONY: forget
forget: setup ## stop it and remove its data
	@$(BIN)/python -m devstack.stack forget

.PHONY: test
test: setup ## all tests, on real Kafka and Postgres
	@$(BIN)/python -m pytest

.PHONY: lint
lint: setup ## style, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: check
check: lint test ## lint, then all tests

.PHONY: bench
bench: setup ## the benchmarks, as ratios in one run
	@$(BIN)/python -m tests.bench

.PHONY: faults
faults: setup ## kill and restart everything, and compare with the plain fold
	@$(BIN)/python -m pytest tests/faults

.PHONY: format
format: setup ## let ruff write the style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: lock
lock: setup ## resolve the dependencies anew, Python's and the embedded Kafka's
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 --custom-compile-command 'make lock' \
		$(addprefix --no-emit-package connected-inbox-,$(DISTRIBUTIONS)) \
		--group dev pyproject.toml -o requirements.lock
	@$(BIN)/python -m devstack.kafka
