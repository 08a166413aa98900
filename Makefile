SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo sample test test-faults backtesters test-timescaledb proof test-ansible test-ansible-long lint lint-style lint-types lint-playbooks format bench docs screenshots lock sbom audit clean

VENV := .venv
TOOLS := .tools
RUN := $(VENV)/bin
ARGS ?=
# Tests that run beside each other: most wait for processes and clocks rather than for the processor.
WORKERS ?= 6
# Where it is set, every process of a test or of the demo compiles the whole platform anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: $(VENV)/.runtime ## Run the platform on embedded parts and prove it; options in ARGS="..."
	@exec $(RUN)/kalshi-data demo $(ARGS)

sample: $(VENV)/.runtime ## Make a sample lake of one simulated hour in sample-lake/, in seconds: 2 MB
	@rm -rf sample-lake && $(RUN)/kalshi-data simulator sample --into sample-lake $(ARGS)

test: $(VENV)/.development ## Run the tests; pytest options in ARGS="..."
	@$(RUN)/python -m pytest -n $(WORKERS) -m "not long" $(ARGS)

test-faults: $(VENV)/.development ## Run the longest tests, campaigns of faults above all, which `make test` leaves out
	@$(RUN)/python -m pytest -n $(WORKERS) -m long -o faulthandler_timeout=1800 $(ARGS)

proof: $(VENV)/.development ## Look for claims that are not true, for ARGS="--seconds 600"; --help tells more
	@exec $(RUN)/python -m tests.claims $(ARGS)

backtesters: .backtesters/.installed ## Install the backtesters that load the exports of the lake in `make test`, apart: 1.3 GB

test-timescaledb: $(VENV)/.development ## Run tests of the databases on the server that TIMESCALEDB_DSN names
	@TEST_SERVER_DSN="$${TIMESCALEDB_DSN:?names no server with the TimescaleDB extension}" $(RUN)/python -m pytest -n $(WORKERS) \
		tests/storage/test_timescaledb.py tests/storage/test_arrivals.py tests/merge tests/replicate tests/audit \
		tests/workers/deduplicator/test_deduplicator_process.py tests/faults/test_recording_into_hypertables.py $(ARGS)

test-ansible: $(VENV)/.development ## Run the playbooks against a made-up AWS and, as root, on hosts in containers
	@bash .ci/packages containers
	@ANSIBLE_HOSTS=1 $(RUN)/python -m pytest tests/ansible/test_platform.py tests/ansible/test_provisioning.py \
		tests/ansible/test_production_on_rds.py -n 2 --dist loadfile -o faulthandler_timeout=3600 $(ARGS)

test-ansible-long: $(VENV)/.development ## The same with a second gatherer: four hosts
	@ANSIBLE_GATHERERS=2 $(MAKE) test-ansible ARGS="$(ARGS)"

lint: $(VENV)/.development ## Check format, style, types, migrations and playbooks
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint-types lint-playbooks lint-style

lint-style: $(VENV)/.development
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/squawk sql/*/*.sql

lint-types: $(VENV)/.development
	$(RUN)/mypy

lint-playbooks: $(VENV)/.development
	cd ansible && ../$(RUN)/yamllint --strict .
	cd ansible && PATH=../$(RUN):$$PATH ANSIBLE_INVENTORY=inventories/single ansible-lint -q

format: $(VENV)/.development ## Format the code
	@$(RUN)/ruff format .
	@$(RUN)/ruff check --fix .

bench: $(VENV)/.development ## Measure; the benchmark's name in ARGS=copy
	@exec $(RUN)/python -m tests.bench $(ARGS)

docs: $(VENV)/.runtime ## Write the generated tables into docs/
	@$(RUN)/kalshi-data settings --write docs/settings.md
	@$(RUN)/kalshi-data metrics --write docs/metrics.md
	@$(RUN)/kalshi-data rehearse --write docs/assumptions.md

screenshots: $(VENV)/.development ## Take the README's pictures over a running demo
	@$(RUN)/python -m tests.admin.screenshots

lock: $(TOOLS)/.installed ## Write requirements.lock: the digests of what requirements.txt names
	@$(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		requirements.txt --output-file requirements.lock

sbom: $(TOOLS)/.installed ## Write sbom.json: what production runs
	@$(TOOLS)/bin/cyclonedx-py requirements --output-reproducible --of JSON --output-file sbom.json requirements.lock

audit: $(TOOLS)/.installed ## Ask for known vulnerabilities of what production runs
	@bash .ci/audit $(TOOLS)

clean: ## Remove the virtual environment and caches (recorded data stays)
	rm -rf $(VENV) $(TOOLS) .backtesters sample-lake sbom.json .venv.lock build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis .test-failures .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.runtime: requirements.txt requirements.lock setup.cfg pyproject.toml
	@bash .ci/venv $(VENV) requirements.txt
	@touch $@

$(VENV)/.development: requirements-dev.txt ansible/requirements.txt $(VENV)/.runtime
	@bash .ci/venv $(VENV) requirements-dev.txt
	@touch $@

.backtesters/.installed: requirements-backtesters.txt $(VENV)/.runtime
	@rm -rf .backtesters && $(RUN)/python -m venv .backtesters
	@.backtesters/bin/pip install --disable-pip-version-check --no-compile --requirement requirements-backtesters.txt >.backtesters/install.log 2>&1
	@touch $@

$(TOOLS)/.installed: requirements-tools.txt $(VENV)/.runtime
	@rm -rf $(TOOLS) && $(RUN)/python -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install --disable-pip-version-check --requirement requirements-tools.txt >$(TOOLS)/install.log 2>&1
	@touch $@
