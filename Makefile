# Two commands from a fresh machine: `make demo` and `make test`.
# Variables: PYTHON (interpreter, 3.11 or later), VENV (environment folder), CLIP (file for the demo).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CASEWORK ?= demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint types contracts check kills bench bench-fidelity fuzz wheel-test external-test clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.ready
	bash tests/demo.sh $(BIN) $(CASEWORK) '$(CLIP)'

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

contracts: $(VENV)/.ready
	$(BIN)/lint-imports

wheel-test: $(VENV)/.ready
	PYTHON=$(PYTHON) sh tests/wheel/run.sh $(BIN)/python

# spandrel and diffusers, which the default installation lacks, in an environment of their own.
external-test:
	sh tests/external/run.sh .external-venv $(PYTHON)

check: lint types contracts test wheel-test external-test

# Processes killed at N random moments, their runs resumed and compared with an undisturbed one.
kills: N = 50
kills: $(VENV)/.ready
	$(BIN)/python -m tests.kills $(N)

bench: $(VENV)/.ready
	$(BIN)/python -m tests.bench

# What each method gains over bicubic on held-out scenes; hours for everything, resumable. ARGS, for example:
# --cells x4:jitter:28 --methods bicubic,fuse
bench-fidelity: $(VENV)/.ready
	$(BIN)/python -m tests.fidelity $(ARGS)

# N changed files of all kinds; the inputs are other ones with FIRST=100000.
N ?= 20000
FIRST ?= 0
fuzz: $(VENV)/.ready
	$(BIN)/python -m tests.fuzz $(N) --first $(FIRST)

clean:
	rm -rf $(VENV) .external-venv demo dist build .assets
