# `make demo` and `make test` make their own environment in .venv from requirements.lock; a second call re-uses it.

PYTHON ?= python3
CORES ?= $(shell nproc)
VENV := .venv/bin
export NO_ET = 1
export MPLBACKEND = Agg

.PHONY: help demo test test-slurm check format lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: .venv/installed  ## run the whole workflow on a simulated cohort, ends with reports/report.html
	$(VENV)/snakemake --cores $(CORES)
	@echo "Read reports/report.html"

test: .venv/installed  ## run every test; what this machine lacks (a browser, SLURM) is skipped
	$(VENV)/pytest -n 2 --dist loadgroup

test-slurm: .venv/installed  ## run only the workflow through a real SLURM, with faults (needs its Debian packages)
	LIVERSTIFF_REQUIRE_DATA=1 $(VENV)/pytest tests/cluster

check: .venv/installed  ## ruff, formats, types, snakemake --lint
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/snakefmt --check Snakefile rules
	$(VENV)/mypy
	$(VENV)/snakemake --lint

format: .venv/installed  ## put every file into the house's format, write config.schema.json
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .
	$(VENV)/snakefmt Snakefile rules
	$(VENV)/python -m liverstiff.config > config.schema.json

lock: .venv/installed  ## write requirements.lock from what .venv holds
	$(VENV)/python envs/lock.py

clean:  ## remove all outputs; keeps .venv, data and the folder of secrets
	rm -rf results reports logs benchmarks .snakemake

# A plain Debian has no ensurepip: then its own pip fills the environment. torch comes with the project itself, in the
# build that the machine offers.
.venv/installed: requirements.lock pyproject.toml
	@test -x $(VENV)/python || $(PYTHON) -m venv .venv || $(PYTHON) -m venv --clear --without-pip .venv
	@test -x $(VENV)/pip || $(PYTHON) -m pip --python $(VENV)/python install --quiet pip
	$(VENV)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock
	$(VENV)/python -m pip install --quiet --quiet --disable-pip-version-check --no-build-isolation --editable .
	@touch $@
