# Every target sets itself up: Python 3.11+ and make are all that a machine needs.
PYTHON ?= python3
VENV := .venv
# Two at a time: while one waits for a process that was killed, another has the core. A file's tests stay together, and the
# files begin in their order, the long ones before the many.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo up down test lint format bench lock clean help
help:
	@echo "make demo    a year of real purchases through Kafka, segments, mail, live tills   (DEMO_ARGS=--detach)"
	@echo "make up      everything on this machine, without demo data                        (UP_ARGS=...)"
	@echo "make down    stop it, losing nothing"
	@echo "make test    the whole suite                                                      (TEST_ARGS=...)"
	@echo "make lint    format, lint, types, import rules"
	@echo "make bench   every benchmark of docs/performance.md                               (BENCH=segmenter for one)"
	@echo "make lock    resolve requirements.lock anew"

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Regulars needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Regulars and its packages into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)
	@$(BIN)/regulars demo $(DEMO_ARGS)

up: $(STAMP)
	@$(BIN)/regulars up $(UP_ARGS)

down: $(STAMP)
	@$(BIN)/regulars down

test: $(STAMP)
	@$(BIN)/python -m pytest $(PARALLEL) $(TEST_ARGS)

lint: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP)
	@$(BIN)/python -m benchmarks $(BENCH)

lock:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --universal --no-strip-extras --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 --all-extras -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .coverage .mypy_cache .ruff_cache .hypothesis dist
