# `make` lists the targets. All but test-torch runs in .venv, which is made once.

PYTHON ?= python3
DEMO_FLAGS ?=
# Two workers: each holds a TensorFlow of about a gigabyte. With `worksteal` each starts
# with half of the tests in order, so that tests of one file share what they compile, and
# takes over from the other when it is done.
PYTEST_FLAGS ?= -n 2 --dist worksteal
# How many cases of each parametrized test `make test` takes, where the test does not name
# them (`pytest.mark.cases`); test-rest takes the others.
CASES ?= 1
# The same of test-jax, which compiles each operation for each shape: the forms are the
# same code as on TensorFlow, where test-rest takes all cases. 0 for all of them.
JAX_CASES ?= 1
# TensorFlow keeps its notices to itself, and that there is no GPU.
export TF_CPP_MIN_LOG_LEVEL ?= 3

# What is written in keras.ops and runs on every backend; the rest is of TensorFlow.
BACKEND_TESTS ?= tests/ops tests/feature_maps tests/layers tests/callbacks tests/models
# Of these, the files with tests of what a backend could get wrong by itself.
JAX_FORMS = $(shell grep --recursive --files-with-matches --include='test_*.py' \
  pytest.mark.backends $(BACKEND_TESTS))

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TORCH_VENV := .venv-torch
TORCH_INSTALLED := $(TORCH_VENV)/.installed
TPU_VENV := .venv-tpu
TPU_INSTALLED := $(TPU_VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-tensorflow test-jax-forms test-jax test-torch test-tpu \
  test-rest test-all test-mutants lint format snapshots build release-check clean \
  bench benchmark-attention benchmark-crossovers benchmark-approximation benchmark-layer \
  benchmark-picture benchmark-stream

help:
	@echo 'make demo       train, export, serve and query a classifier of long documents'
	@echo '                (DEMO_FLAGS="--data DIR" for your own: DIR/CLASS/ or'
	@echo '                DIR/{train,test}/CLASS/)'
	@echo 'make test       lint, then the tests: test-tensorflow and test-jax-forms'
	@echo 'make test-tensorflow  on TensorFlow (PYTEST_FLAGS="-n 0 tests/ops" for some)'
	@echo 'make test-jax   those that run on every backend (BACKEND_TESTS=tests/ops for some,'
	@echo '                JAX_CASES=0 for all cases of each); test-jax-forms: what is its own'
	@echo 'make test-torch the same on PyTorch, in .venv-torch: a download of 200 MB for a'
	@echo '                processor, of gigabytes for what the package index has by default'
	@echo 'make test-all   all that a machine without an accelerator can run, with coverage: make'
	@echo '                test, test-rest, test-jax and test-mutants'
	@echo 'make test-rest  what make test leaves out: longer trainings, LiteRT, other cases'
	@echo 'make test-mutants  faults put in on purpose: each has a test that must see it'
	@echo 'make test-tpu   plans by the compiler of TPUs, in .venv-tpu; no TPU is needed'
	@echo 'make lint       ruff: rules and format; mypy: types of what runs on the host'
	@echo 'make format     let ruff mend both'
	@echo 'make snapshots  accept the present names and weights; read the diff before you commit'
	@echo 'make build      sdist and wheel, in dist/'
	@echo 'make release-check  both in empty environments, and the notebook from the wheel'
	@echo 'make bench      what became slower since the last record of such a processor'
	@echo 'make benchmark-attention, benchmark-crossovers, benchmark-approximation,'
	@echo '                benchmark-layer, benchmark-picture, benchmark-stream'
	@echo '                the figures of benchmarks/README.md; nothing else should run'
	@echo 'make clean      remove .venv, .venv-torch, .venv-tpu, builds and caches'
	@echo
	@echo 'All take PYTHON=python3.12, say, for the Python of .venv: 3.10 to 3.13.'

demo: $(INSTALLED)
	$(BIN)/keras-performer demo $(DEMO_FLAGS)

test: lint test-tensorflow test-jax-forms

# What no machine without an accelerator can run is left out, and PyTorch, for its size.
test-all: $(INSTALLED)
	$(BIN)/coverage erase
	$(MAKE) test test-rest test-jax test-mutants \
	  COVERAGE='--cov=keras_performer --cov-append --cov-report='
	$(BIN)/coverage report --skip-covered --sort=cover | tail -n 40

test-tensorflow: $(INSTALLED)
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest $(PYTEST_FLAGS) $(COVERAGE) \
	  --cases=$(CASES)

test-jax-forms: $(INSTALLED)
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(PYTEST_FLAGS) $(COVERAGE) \
	  -m 'backends and not slow' --cases=1 $(JAX_FORMS)

test-rest: $(INSTALLED)
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest $(PYTEST_FLAGS) $(COVERAGE) \
	  -m '' --other-cases=$(CASES)

test-jax: $(INSTALLED)
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(PYTEST_FLAGS) $(COVERAGE) \
	  --cases=$(JAX_CASES) $(BACKEND_TESTS)

test-mutants: $(INSTALLED)
	KERAS_BACKEND=tensorflow $(BIN)/python tests/mutants.py

test-torch: $(TORCH_INSTALLED)
	KERAS_BACKEND=torch $(TORCH_VENV)/bin/python -m pytest $(PYTEST_FLAGS) $(BACKEND_TESTS)

# One at a time: each compilation is a process of its own that takes a core for minutes.
test-tpu: $(TPU_INSTALLED)
	KERAS_BACKEND=tensorflow $(TPU_VENV)/bin/python -m pytest -n 0 -m '' \
	  $(wildcard tests/distribution/test_plan*.py) \
	  tests/distribution/test_compiled_plan.py tests/distribution/test_product_flops.py
	KERAS_BACKEND=jax $(TPU_VENV)/bin/python -m pytest -n 0 \
	  tests/distribution/test_compile_step.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

snapshots: $(INSTALLED)
	$(BIN)/python -m pytest tests/contracts tests/layers tests/models --update-snapshots
	git diff --stat -- 'tests/*/snapshots'

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.regression

benchmark-attention: $(INSTALLED)
	$(BIN)/python -m benchmarks.attention.compare --output attention.json

benchmark-crossovers: $(INSTALLED)
	$(BIN)/python -m benchmarks.attention.compare --measures time \
	  --lengths 512 768 1024 1536 2048 3072 4096 --peers keras_exact torch_exact \
	  --output crossover.json

benchmark-approximation: $(INSTALLED)
	$(BIN)/python -m benchmarks.approximation.error --output approximation_error.png

benchmark-layer: $(INSTALLED)
	$(BIN)/python -m benchmarks.layer.crossover

benchmark-picture: $(INSTALLED)
	$(BIN)/python -m benchmarks.layer.growth --output docs/pictures/time_and_memory.png

benchmark-stream: $(INSTALLED)
	$(BIN)/python -m benchmarks.stream.steps
	$(BIN)/python -m benchmarks.stream.steps --rotary-base 10000
	$(BIN)/python -m benchmarks.stream.steps --exact-window 64

build: $(INSTALLED)
	rm -rf build dist
	$(BIN)/python -m build

release-check: build
	PYTHON=$(abspath $(BIN)/python) .ci/release-check

clean:
	rm -rf $(VENV) $(TORCH_VENV) $(TPU_VENV) build dist *.egg-info .pytest_cache .ruff_cache \
	  .mypy_cache .jax_cache
	find keras_performer tests -name __pycache__ -prune -exec rm -rf {} +

# An environment that does not run, or whose Python is not the one that was asked for
# with PYTHON=..., is made anew.
version = $(shell $(1) -c 'import platform; print(platform.python_version())' \
  2>/dev/null || echo broken)
VENV_VERSION := $(call version,$(BIN)/python)
ifeq ($(origin PYTHON),file)
WANTED_VERSION := $(filter-out broken,$(VENV_VERSION))
else
WANTED_VERSION := $(filter-out broken,$(call version,$(PYTHON)))
endif
ifneq ($(VENV_VERSION),$(WANTED_VERSION))
.PHONY: $(INSTALLED)
endif

# The stamp comes last, and goes first when dependencies change: an installation that
# was interrupted leaves none, and starts again from an empty environment (pip may take
# a half-copied package for an installed one; its downloads are cached).
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo 'Python 3.10 to 3.13 is needed, and $(PYTHON) is not: try' \
	    'make PYTHON=python3.12'; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo '$(PYTHON) cannot make virtual environments. On Debian:' \
	    'apt-get install python3-venv'; exit 1; } >&2
	@test -e $@ -a '$(VENV_VERSION)' = '$(WANTED_VERSION)' \
	  || { echo 'Making $(VENV)'; rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@rm -f $@
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip check
	@touch $@

# PyTorch beside TensorFlow would be one process with two thread pools and two copies of
# OpenMP; the package itself needs Keras alone for these tests.
$(TORCH_INSTALLED): pyproject.toml constraints.txt
	rm -rf $(TORCH_VENV)
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip install -c constraints.txt \
	  'torch==2.13.0' keras numpy pytest pytest-xdist
	$(TORCH_VENV)/bin/python -m pip install --no-deps -e .
	@touch $@

$(TPU_INSTALLED): pyproject.toml constraints.txt
	rm -rf $(TPU_VENV)
	$(PYTHON) -m venv $(TPU_VENV)
	$(TPU_VENV)/bin/python -m pip install -c constraints.txt -e '.[tpu]' pytest \
	  pytest-xdist
	@touch $@
