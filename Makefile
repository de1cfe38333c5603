# make demo   set everything up and tell the whole story on real data (ARGS="--exit-when-done --report demo.json")
# make test   set everything up and run the tests (ARGS="-k spool"; SEEDS=fresh, or a number, for other seeds than always)
# make bench  the tests that are too slow for each run: soaks, faults, machines that die (ARGS="-k rate")
# make bench-flows DATA=../shared/data/bench OUT=flows.json   flows' speed and quality beside their peers
# make bench-hostile OUT=hostile.json   hostile messages on every topic and faults in every part; with KAFKA_HOME on Kafka
# make bench-detect DATA=../shared/data OUT=detect.json   what the detectors see and when, beside their peers
# make bench-blind OUT=blind.json   bad input of every kind: what is lost of honest events, and how soon it is said
# make bench-incidents DATA=../shared/data OUT=incidents.json   how many messages reach people, and the promise
# make bench-stream OUT=stream.json   events a second beside agents and loops written by hand, on Apache Kafka (KAFKA_HOME)
# make bench-faults OUT=faults.json   workers, broker, sink and disk fail at random: what is lost or doubled (KAFKA_HOME)
# make bench-loop OUT=loop.json   whether a model enters service only when it is better, and leaves when it is not (KAFKA_HOME)
# make bench-newcomer OUT=newcomer.json   from a file or a topic that nobody prepared to the first incident (KAFKA_HOME)
# make soak SEEDS=100000   the stages and workers in a simulation with seeded faults; stops at the first seed that fails
# make check  types, lint, import rule, published schemas

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# The CPU build. A bare "torch" would drag in gigabytes of GPU libraries on some machines.
TORCH ?= torch==2.13.0
# Test processes side by side: most of them wait for brokers.
JOBS ?= 2
# What is written in C++ is built when the package is installed.
NATIVE := setup.py $(wildcard flowlib/engines/native/* flowlib/training/native/* flowlib/native/*/* stream_app/native/*/*)
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: demo test bench bench-flows bench-hostile bench-detect bench-blind bench-incidents bench-stream bench-faults bench-loop bench-newcomer soak check format schemas clean

demo: .make/run
	$(BIN)/driftflow demo $(ARGS)

# The order of sets is chance too: the same one in every run, as every seed of the tests (tests/seeds.py).
test: SEEDS ?= $(DRIFTFLOW_SEED)
test: .make/dev
	DRIFTFLOW_SEED=$(SEEDS) PYTHONHASHSEED=$(if $(filter fresh,$(SEEDS)),random,0) \
		$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

bench: .make/dev
	$(BIN)/python -m pytest -m slow -s -q $(ARGS)

bench-flows: .make/bench
	$(BIN)/python -m tests.bench.flows --data $(DATA) --out $(OUT) $(ARGS)

bench-hostile: .make/dev
	$(BIN)/python -m tests.bench.hostile --out $(OUT) $(ARGS)

bench-detect: .make/dev
	-$(MAKE) .make/bench-alibi   # without it alibi-detect's rows are left out
	$(BIN)/python -m tests.bench.detect --data $(DATA) --out $(OUT) $(ARGS)

bench-blind: .make/dev
	$(BIN)/python -m tests.bench.blind --out $(OUT) $(ARGS)

bench-stream: .make/bench
	$(BIN)/python -m tests.bench.stream --out $(OUT) $(ARGS)

bench-faults: .make/dev
	$(BIN)/python -m tests.bench.faults --out $(OUT) $(ARGS)

bench-loop: .make/dev
	$(BIN)/python -m tests.bench.loop --out $(OUT) $(ARGS)

bench-newcomer: .make/dev
	$(BIN)/python -m tests.bench.newcomer --out $(OUT) $(if $(DATA),--data $(DATA)) $(ARGS)

bench-incidents: .make/dev
	$(BIN)/python -m tests.bench.incidents --data $(DATA) --out $(OUT) $(ARGS)

soak: .make/dev
	$(BIN)/python -m tests.simulation.soak --seeds $(or $(SEEDS),10000) $(ARGS)

check: .make/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.publish --check

format: .make/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: .make/dev
	$(BIN)/python -m schemas.publish

clean:
	rm -rf $(VENV) .make build dist *.egg-info

.make/venv:
	@test -n "$(PYTHON)" || { echo "driftflow needs Python 3.11, 3.12 or 3.13: install one, or name it with PYTHON=..."; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON): a minute or two, once"
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: install it (Debian: apt install python3-venv)"; exit 1; }
	$(PIP) install '$(TORCH)'
	@mkdir -p .make && touch $@

.make/run: .make/venv pyproject.toml $(NATIVE)
	$(PIP) install -e '.[embedded,report]'
	@touch $@

.make/dev: .make/venv pyproject.toml $(NATIVE)
	$(PIP) install -e '.[embedded,report,parquet,edge,private,tracing,grafana,dev]'
	@touch $@ .make/run

# alibi-detect, for `peers` of bench-detect only: its licence and its numpy keep it out of the environment above.
.make/bench-alibi: .make/venv
	$(PYTHON) -m venv .make/alibi
	.make/alibi/bin/pip --disable-pip-version-check --quiet install '$(TORCH)' 'alibi-detect==0.13.*'
	@touch $@

.make/bench: .make/dev
	$(PIP) install -e '.[embedded,report,parquet,edge,private,tracing,grafana,dev,bench]'
	$(PIP) install --no-deps 'deepod==0.4.1' 'tqdm>=4.62'   # it asks for PyTorch below 1.13.1, and runs with any
	@touch $@
