# `make demo` needs Python 3.11, cargo 1.90 or newer and make; `make test` and `make bench` a JDK 17 too (for Kafka, and
# for comparing with Debezium). No other step: the rest comes into .venv and servers/.cache, Maven, Go and a C++
# compiler included where the machine has none (docs/design/0027-what-make-needs.md).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Tests wait for servers more than they compute, so one process more than there are cores.
PROCESSES ?= 3
RUST := $(shell find crates -name '*.rs' -not -path '*/target/*') $(wildcard crates/*/Cargo.toml) Cargo.toml Cargo.lock
SOURCES := src servers benchmarks examples tests
export ONLY RIVALS ROWS BIG_ROWS COMMITS PAIRS OUTPUT
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
# Tests start the program a thousand times: where the machine keeps no compiled modules, ours are kept all the same.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test bench lint docs

setup: .venv/built

demo: setup
	$(BIN)/tailrace demo

test: lint
	cargo test --locked --quiet --package tailrace-wire
	$(BIN)/python -m pytest --numprocesses=$(PROCESSES) --dist=worksteal
	$(BIN)/python -m tests.conformance.equal --check

bench: setup
	$(BIN)/python -m benchmarks

lint: setup
	$(BIN)/ruff check $(SOURCES) && $(BIN)/ruff format --quiet --check $(SOURCES) && $(BIN)/mypy
	cargo fmt --check && cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
	cd crates/wire/fuzz && cargo fmt --check

docs: setup
	$(BIN)/python -m pytest tests/tidy/test_documents.py

.venv/locked: requirements.lock
	$(PYTHON) -m venv .venv && $(BIN)/pip install --require-hashes -r requirements.lock
	touch $@

.venv/built: .venv/locked pyproject.toml $(RUST)
	@echo "building Tailrace: some minutes the first time"
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --release --locked --quiet
	touch $@
