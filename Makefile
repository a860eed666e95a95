# `make demo` and `make test` set everything up by themselves; Python 3.11 is all they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
DEMO := data/local/demo

.PHONY: demo test test-faults test-laws lint fast long server spark wheel notebooks test-notebooks test-salesforce test-odoo test-web docs bench-features bench-model bench-gate bench-score test-hubspot bench-hubspot bench-events bench-page attack setup clean

demo: .venv/ready
	$(BIN)/expansion simulate --accounts 1000 --months 36 --seed 7 --out $(DEMO)
	$(BIN)/expansion check -c $(DEMO)/expansion.toml
	$(BIN)/expansion train -c $(DEMO)/expansion.toml
	$(BIN)/expansion score -c $(DEMO)/expansion.toml
	@echo
	@echo "Look closer:"
	@echo "  one account    $(BIN)/expansion show -c $(DEMO)/expansion.toml ACCOUNT"
	@echo "  the whole list $(BIN)/expansion show -c $(DEMO)/expansion.toml --top 400"
	@echo "  runs, models   $(BIN)/mlflow ui --backend-store-uri sqlite:///$(DEMO)/mlflow.db --artifacts-destination $(DEMO)/mlartifacts"
	@echo "  in the browser $(BIN)/expansion serve -c $(DEMO)/expansion.toml"
	@echo "  your own data  README.md, \"Point it at your own tables\""

test: lint fast long server test-notebooks wheel spark

setup: .venv/ready

.venv/ready: requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fast: .venv/ready
	POLARS_MAX_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup # a thread a worker: two fill two cores

# Whole roads: trained, promoted, searched, delivered, killed on the way.
long: .venv/ready
	POLARS_MAX_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup -m long

# The law of time on two hundred worlds a law, not eight: about half an hour.
test-laws: .venv/ready
	POLARS_MAX_THREADS=1 $(BIN)/pytest -n 2 --hypothesis-profile=thorough tests/features/test_time.py

# A registry behind a real MLflow server, on a real PostgreSQL.
server: .venv/ready
	$(BIN)/pytest -m slow tests/training/test_server.py tests/serving/test_remote_registry.py

# Deliver while all fails that may: killed 200 times, a server that fails at a third of requests, a
# full disk; about ten minutes. FAULTS='--kills 20 --accounts 400' tries it in one.
test-faults: .venv/ready
	$(BIN)/python tests/faults/run.py $(FAULTS)

# The log on Spark, where there is a Java to run it.
ifneq ($(or $(JAVA_HOME),$(shell command -v java)),)
spark: .venv/spark
	$(BIN)/pytest -m "spark and not slow" tests/features/test_spark.py
else
spark:
	@echo "spark: skipped, for there is no Java here"
endif

.venv/spark: .venv/ready requirements-spark.txt
	@echo "installing Spark, half a gigabyte"
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-spark.txt
	touch $@

# A green editable install can hide a package that the wheel forgot.
wheel: .venv/ready
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist > /dev/null
	$(PYTHON) -m venv --clear dist/venv
	dist/venv/bin/python -m pip install --quiet --requirement requirements.txt
	dist/venv/bin/python -m pip install --quiet --no-deps dist/*.whl
	cd dist && venv/bin/expansion --help > /dev/null && venv/bin/python -m pip check
	@echo "the wheel installs in a clean environment"

# Execute the notebooks on a small company made anew, and keep what they show.
notebooks: .venv/ready
	$(BIN)/python tests/notebooks/execute.py

test-notebooks: .venv/ready
	$(BIN)/pytest -m notebooks tests/notebooks

# A real Odoo 19, fetched from Debian's unstable distribution, which moves: not a part of `make test`.
test-odoo: .venv/ready
	$(BIN)/python tests/odoo/install.py
	$(BIN)/pytest -m odoo tests/odoo

# Salesforce's and Slack's rules over HTTP, on this machine: faults, and senders killed at any call.
test-salesforce: .venv/ready
	POLARS_MAX_THREADS=1 $(BIN)/pytest -s -m "slow or not slow" tests/salesforce tests/slack

# The page in a real Chromium, with noise thrown at it, 10,000 accounts, and a real PostgreSQL; some minutes.
test-web: .venv/ready
	POLARS_MAX_THREADS=1 $(BIN)/pytest -m "slow or not slow" tests/web

# Pages that are made from the code; a test tells when they are stale.
docs: .venv/ready
	$(BIN)/expansion features --describe > docs/reference/features.md

# About half an hour on two cores, and 8 GB of disk; BENCH=--small tries it in minutes.
bench-features: .venv/ready
	$(BIN)/python tests/bench/run.py $(BENCH)

# About an hour and a quarter on two cores, most of it for the small companies: BENCH='--seeds 5' is faster, BENCH=--small tries it,
# BENCH='--only dates' measures one section.
bench-model: .venv/ready
	$(BIN)/python tests/bench/model/run.py $(BENCH)

# Up to 40 minutes on two cores; BENCH=--small tries it, BENCH='--only nulls' measures one section.
bench-gate: .venv/ready
	POLARS_MAX_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python tests/bench/gate/run.py $(BENCH)

# About a quarter of an hour on two cores, most of it to make 100,000 accounts, which are kept; BENCH=--small tries it.
bench-score: .venv/ready
	$(BIN)/python tests/bench/score/run.py $(BENCH)

# A HubSpot portal on this machine on its bad days, and 50 senders that are killed: some minutes.
test-hubspot: .venv/ready
	$(BIN)/pytest -m "slow or not slow" tests/hubspot

# A minute or two: how many records a second reach a portal whose limits are in force.
bench-hubspot: .venv/ready
	$(BIN)/python tests/hubspot/bench.py $(BENCH)

# Some twenty minutes: a steady load of events with accounts that fill up among them, and a million events while processes
# are killed. BENCH='--events 50000 --kills 4 --seconds 20' tries it, BENCH=--postgres measures the load there, too.
bench-events: .venv/ready
	$(BIN)/python tests/bench/events/run.py $(BENCH)

# Two minutes: how soon the first byte of every page comes at 10,000 accounts with eight lists before.
# BENCH='--database postgresql' asks a real one; BENCH='--accounts 100000 --lists 11' takes twenty minutes and 3 GB of disk.
bench-page: .venv/ready
	$(BIN)/python tests/bench/web/run.py $(BENCH)

# The server as it is run, attacked over HTTP, on SQLite and on a PostgreSQL: some five minutes. ATTACK=--small tries it,
# ATTACK='--only crowd disk --on sqlite' tries these kinds alone.
attack: .venv/ready
	POLARS_MAX_THREADS=1 $(BIN)/python tests/attack/run.py $(ATTACK)

clean:
	rm -rf .venv dist data/local
