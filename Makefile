# One command each; the first call makes .venv from the lock, later calls reuse it.
PYTHON ?= python3
VENV   ?= .venv
CORES  ?= all
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

RECORD ?= results/records
# A worker a core, up to 4: each loads torch. A file is one worker's, with what its tests share.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 \
	--dist loadfile --no-loadscope-reorder

.PHONY: help setup demo record reference replay test test-all peers bench gpu docs generated lint audit format clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(STAMP)  ## make .venv with the locked dependencies and the package

# The lock is used as constraints: where torch is a CUDA build, pip may add the
# libraries which that build needs and the lock does not name.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; found $$($(PYTHON) --version). Say which: make PYTHON=python3.11"; exit 1; }
	@echo "Installing into $(VENV): some minutes, and a gigabyte or more to download."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev,slurm,export,completion]'
	@touch $@

demo: $(STAMP)   ## run the demo study offline on the CPU, then say where its report is
	$(BIN)/snakemake --cores $(CORES)
	@echo "The report: $(CURDIR)/results/studies/demo/report.html"

record: $(STAMP) ## draw the shipped records again, from their runs.csv alone (one: RECORD=FOLDER)
	$(BIN)/python -m kd draw $(RECORD)

reference: $(STAMP) ## write docs/reference-results.md, its figures, and the first answer in the README
	$(BIN)/python -m kd draw results/records/reference --page docs/reference-results.md
	PYTHONPATH=. $(BIN)/python .ci/generate.py

replay: $(STAMP) ## write docs/replay.md and its figure: what a part of the runs finds (takes half an hour)
	$(BIN)/python -m kd replay results/records/demo results/records/reference --simulated --draws 24 --page docs/replay.md

test: $(STAMP)   ## run the tests
	$(PYTEST)

test-all: test   ## then the slow tests, and those on clusters, a store and the network where they are there
	$(PYTEST) --all -m "slow or slurm or sge or store or network"

# Without what they depend on (torchvision, tensorboard): their losses do not need it.
peers: $(STAMP)  ## install the libraries whose losses the tests compare ours with
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --no-deps \
		textbrewer torchdistill tensorboardX protobuf

# In a folder of their own: nothing else here needs them.
bench: $(STAMP)  ## time this project against other libraries: results/bench/
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --constraint requirements.lock --target .bench \
		textbrewer torchdistill tensorboardX protobuf accelerate
	PYTHONPATH=.bench OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks $(BENCH)

# Installs nothing, for a machine without a network: with the .bench of `make bench` where it is there.
gpu:             ## on a machine with a GPU, in 10 minutes: its tests, and this project there: results/bench/gpu.md
	PYTHONPATH=.bench:. $(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks --gpu $(BENCH)

# In a folder of their own too. Sphinx takes a warning, such as a link that leads nowhere, as an error.
docs: $(STAMP)   ## build the documentation as a site: site/index.html
	$(BIN)/python -m pip install --quiet --upgrade --constraint requirements.lock --target .docs \
		sphinx myst-parser pydata-sphinx-theme sphinx-copybutton
	PYTHONPATH=.docs:. $(BIN)/python .ci/docs.py site

generated: $(STAMP) ## write what is generated: schemas, docs/axes.md, docs/columns.md, the tree
	PYTHONPATH=. $(BIN)/python .ci/generate.py

lint: $(STAMP)   ## ruff, mypy, import-linter, snakefmt, snakemake --lint, the lock, audit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/snakefmt --check --compact-diff Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/python .ci/lock.py requirements.lock
	@$(MAKE) --no-print-directory audit

# Its own environment: the locked one must not change for it.
audit:           ## known vulnerabilities of the locked dependencies
	@$(PYTHON) .ci/audit.py $(VENV)/audit requirements.lock

format: $(STAMP) ## let ruff and snakefmt rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

clean:           ## remove the environment and caches (never results/)
	rm -rf $(VENV) .bench .docs site .mypy_cache .pytest_cache .ruff_cache *.egg-info
