# Everything that a person or CI runs. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
# Each worker has a Kafka and a Postgres of its own. On a given Postgres there is one: roles are a server's, and two workers
# would change each other's passwords.
TEST_WORKERS ?= $(if $(DATABASE_URL),0,2)
BIN := $(VENV)/bin
PACKAGES := libs/contracts libs/service_kit libs/devstack \
	services/routing services/inbox_state services/notification services/reporting services/console
DISTRIBUTIONS := contracts service-kit devstack routing inbox-state notification reporting console

# Of the interpreters that are found the fastest is taken: one that was compiled without profile-guided optimisation
# (as pyenv does by default) takes twice as long for everything that the services do.
PYTHONS := python3 /usr/bin/python3 python3.13 python3.12 python3.11
SPEED := import ensurepip, sys, timeit; sys.version_info < (3, 11) and sys.exit(1); \
	print(min(timeit.repeat("sum(map(str.__len__, (str(n) for n in range(100))))", number=500)), sys.executable)

# The stamp is named after what was installed, so that a changed lock or package installs again.
INSTALLED := $(VENV)/installed-$(shell cat requirements.lock $(addsuffix /pyproject.toml,$(PACKAGES)) | cksum | cut -d' ' -f1)

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(INSTALLED) ## make the virtual environment from the hashed lock

$(INSTALLED):
	@python=$$(for candidate in $${PYTHON:-$(PYTHONS)}; do $$candidate -c '$(SPEED)' 2>/dev/null || true; done \
		| sort -g | head -1 | cut -d" " -f2-); \
	[ -n "$$python" ] || { echo "Python 3.11 or newer with venv is needed, and none was found: PYTHON=… names one" \
		"(Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }; \
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV); \
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
# In the order of the folders: what a folder's tests share ends with the last of them.
test: setup ## all tests, on real Kafka and Postgres
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: lint
lint: setup ## style, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/oxlint --deny-warnings services/console/src/console/static

.PHONY: check
check: lint test ## lint, then all tests

.PHONY: bench
bench: setup ## the benchmarks, as ratios in one run
	@$(BIN)/python -m tests.bench

.PHONY: faults
faults: setup ## kill and restart everything, and compare with the plain fold
	@STREAM_CLIENTS=1000 KILLED_EMAILS=1000 ROLLS=1 LIVE_ALERTS=1 $(BIN)/python -m pytest tests/faults

.PHONY: containers
containers: setup ## docker-compose.yml built and brought up, with the demo (needs a Docker engine)
	@COMPOSE_STACK=1 $(BIN)/python -m pytest tests/delivery/test_compose_stack.py

.PHONY: format
format: setup ## let ruff write the style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: documents
documents: setup ## write anew what is made from the code: contracts, metrics, rights, dashboards
	@$(BIN)/python -m contracts.generate
	@$(BIN)/python -m devstack.metrics_table > docs/metrics.md
	@TOPIC_PREFIX= $(BIN)/inboxctl topics rights --as markdown > docs/kafka-rights.md
	@$(BIN)/python -m devstack.dashboards

.PHONY: lock
lock: setup ## resolve the dependencies anew, Python's and the embedded Kafka's
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 --custom-compile-command 'make lock' \
		$(addprefix --no-emit-package connected-inbox-,$(DISTRIBUTIONS)) \
		--group dev pyproject.toml -o requirements.lock
	@$(BIN)/python -m devstack.kafka
