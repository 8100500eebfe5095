# The verbs of this project. `make` alone lists them.
PYTHON ?= python3
FUZZ_MINUTES ?= 30
SIMULATIONS ?= 100000
ARCH ?= arm64 x86_64
PYTHON_VERSION ?= 3.13
CONFIG_ENV ?= default
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

BIN := .venv/bin
TEMPLATES := infra/template.yaml infra/fargate.yaml
PIP_INSTALL := -m pip install --quiet --quiet

# pip says nothing but errors: what it downloads from is no business of a log
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:  # The list itself is taken from the comments behind the verbs.
	@echo "make VERB    (PYTHON=$(PYTHON) makes the environments, JOBS=$(JOBS) tests run at a time)"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo: .venv/stamp .venv-emulators/stamp  ## deploy to an AWS on this machine, convert real files, compare every cell
	@$(BIN)/python -m demo

.PHONY: test
test: .venv/stamp .venv-emulators/stamp  ## all tests, those marked long and those against real S3 and Lambda servers included
	EMULATORS_REQUIRED=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

.PHONY: unit
unit: .venv/stamp  ## under a minute: no servers, fewer generated examples, and none of the tests marked long
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-few} $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not integration and not long"

.PHONY: lint
lint: .venv/stamp infra  ## ruff: all rules, and the format; then the templates, as `make infra`
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: infra
infra: .venv-infra/stamp  ## the templates: cfn-lint, and checkov, whose every finding is fixed or has its reason
	.venv-infra/bin/cfn-lint $(TEMPLATES)
	.venv-infra/bin/checkov $(addprefix --file ,$(TEMPLATES)) --framework cloudformation --skip-download --compact --quiet

.PHONY: type
type: .venv/stamp  ## mypy, strict
	$(BIN)/mypy

.PHONY: bench
bench: .venv/stamp .venv-emulators/stamp  ## beside other engines, ten minutes (BENCH=full: hours); then performance_comparison.md
	$(BIN)/python -m benchmarks suite $(if $(filter full,$(BENCH)),--full)
	$(BIN)/python -m benchmarks.report

.PHONY: fuzz
fuzz: .venv/fuzz-stamp  ## look for lost and changed records: a million cells, coverage-guided for FUZZ_MINUTES (30), linear time
	$(BIN)/python -m fuzz faults --cells 1000000
	$(BIN)/python -m fuzz coverage --minutes $(FUZZ_MINUTES)
	$(BIN)/python -m fuzz linear

.PHONY: reliability
reliability: .venv/stamp .venv-emulators/stamp  ## real processes, a real server, killed, slow and spoiled: half an hour on 2 cores
	EMULATORS_REQUIRED=1 $(BIN)/python -m tests.real

.PHONY: simulate
simulate: .venv/stamp  ## SIMULATIONS (100,000) seeded runs of the handler against faults, crashes and each other; goes on where it stopped
	$(BIN)/python -m tests.simulation --runs $(SIMULATIONS) --jobs $(JOBS)

.PHONY: guards
guards: .venv/stamp  ## take one guard at a time out of a copy of the package, and see that a check turns red
	$(BIN)/python -m tests.simulation.guards --jobs $(JOBS)

.PHONY: package
package: .venv/stamp  ## the zips for Lambda, in dist/: ARCH="arm64 x86_64", PYTHON_VERSION=3.13, SLIM=1 without pandas and awswrangler
	$(BIN)/python -m infra.package build $(ARCH:%=--arch %) --python $(PYTHON_VERSION) $(if $(SLIM),--slim)

.PHONY: deploy
deploy: .venv/stamp  ## the template with the zips in dist/, as infra/samconfig.toml says: CONFIG_ENV=production for that part of it
	@$(BIN)/python -m infra.deploy --env $(CONFIG_ENV)

.PHONY: package-check
package-check: .venv/stamp .venv-emulators/stamp  ## build for this machine, and convert from the unzipped folder alone; SLIM=1
	$(BIN)/python -m infra.package check $(if $(SLIM),--slim)

.PHONY: package-lock
package-lock: .venv/stamp  ## lock the wheels of requirements.txt for Lambda anew, by their hashes
	$(BIN)/python -m infra.package lock

.PHONY: clean
clean:  ## take away everything that the verbs above have made
	rm -rf .venv .venv-emulators .venv-infra .mypy_cache .pytest_cache .ruff_cache .hypothesis .cache dist benchmarks/.data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made again, from nothing, when the list of what it holds has changed.
.venv/stamp: requirements.txt requirements-dev.txt
	@$(call make_environment,.venv)
	@.venv/bin/python $(PIP_INSTALL) -r requirements.txt -r requirements-dev.txt
	@touch $@

.venv/fuzz-stamp: .venv/stamp requirements-fuzz.txt
	@.venv/bin/python $(PIP_INSTALL) -r requirements-fuzz.txt
	@touch $@

.venv-emulators/stamp: requirements.txt requirements-emulators.txt
	@$(call make_environment,.venv-emulators)
	@.venv-emulators/bin/python $(PIP_INSTALL) --no-deps -r requirements-emulators.txt
	@touch $@

.venv-infra/stamp: requirements-infra.txt
	@$(call make_environment,.venv-infra)
	@.venv-infra/bin/python $(PIP_INSTALL) --no-deps -r requirements-infra.txt
	@touch $@

define make_environment
echo "making $(1), which takes a minute the first time"
$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}: make PYTHON=python3.13 ...")'
$(PYTHON) -m venv --clear $(1)
endef
