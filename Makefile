# `make demo` and `make test` install what they need; the only requirement is Python 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
DEMO := data/local/demo
# One thread per test worker: two workers fill two cores.
ONE_THREAD := POLARS_MAX_THREADS=1 OMP_NUM_THREADS=1

.PHONY: demo test test-all test-lower-bounds reference test-faults test-laws lint fast long server spark wheel notebooks test-notebooks test-salesforce test-odoo test-web docs bench-features bench-model bench-gate bench-score test-hubspot bench-hubspot bench-events bench-page attack setup clean

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
	@echo "  your own data  docs/guides/own-tables.md"

# Lint, types, fast tests, and the wheel in a clean environment: minutes.
test: lint fast wheel

# The long suites: end-to-end tests, a real MLflow server, notebooks, Spark, the documentation.
test-all: long server test-notebooks spark docs

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
	$(BIN)/codespell

fast: .venv/ready
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist loadgroup

# End-to-end tests: train, promote, tune, deliver, with processes killed on the way.
long: .venv/ready
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist loadgroup -m long

# The point-in-time laws on 200 generated worlds each instead of eight: about half an hour.
test-laws: .venv/ready
	$(ONE_THREAD) $(BIN)/pytest -n 2 --hypothesis-profile=thorough tests/properties/test_point_in_time.py

# A registry on a real MLflow server with a real PostgreSQL.
server: .venv/ready
	$(BIN)/pytest -m slow tests/unit/training/registry/test_mlflow_server.py tests/unit/serving/scoring/test_remote_registry.py

# CRM delivery under faults: 200 kills, a server that fails a third of requests, a full disk; about
# ten minutes. FAULTS='--kills 20 --accounts 400' is a smoke test of one minute.
test-faults: .venv/ready
	$(BIN)/python -m tests.resilience.run_fault_injection $(FAULTS)

# The event log on Spark; needs Java.
ifneq ($(or $(JAVA_HOME),$(shell command -v java)),)
spark: .venv/spark
	$(BIN)/pytest -m "spark and not slow" tests/integration/spark/test_spark.py
else
spark:
	@echo "spark: skipped, because Java is not installed"
endif

.venv/spark: .venv/ready requirements-spark.txt
	@echo "installing Spark (0.5 GB)"
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-spark.txt
	touch $@

# An editable install can hide a package that is missing from the wheel.
wheel: .venv/ready
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist > /dev/null
	$(PYTHON) -m venv --clear dist/venv
	dist/venv/bin/python -m pip install --quiet --requirement requirements.txt
	dist/venv/bin/python -m pip install --quiet --no-deps dist/*.whl
	cd dist && venv/bin/expansion --help > /dev/null && venv/bin/python -m pip check
	@echo "the wheel installs in a clean environment"

# Execute the notebooks on a new small company, and store their outputs.
notebooks: .venv/ready
	$(BIN)/python -m tests.notebooks.execute

test-notebooks: .venv/ready
	$(BIN)/pytest -m notebooks tests/notebooks

# A real Odoo 19 from Debian unstable, which changes: not part of `make test`.
test-odoo: .venv/ready
	$(BIN)/python -m tests.integration.odoo.install
	$(BIN)/pytest -m odoo tests/integration/odoo

# Fake Salesforce and Slack servers over HTTP: faults, and senders killed at any call.
test-salesforce: .venv/ready
	POLARS_MAX_THREADS=1 $(BIN)/pytest -s -m "slow or not slow" tests/integration/salesforce tests/integration/slack

# The page in a real Chromium, with fuzzing, 10,000 accounts and a real PostgreSQL; some minutes.
test-web: .venv/ready
	POLARS_MAX_THREADS=1 $(BIN)/pytest -m "slow or not slow" tests/integration/web

# The feature catalogue, generated from the code; a test fails when it is stale.
reference: .venv/ready
	$(BIN)/expansion features --describe > docs/reference/features.md

# The documentation as a site in docs/_build/html; warnings are errors, internal links are checked.
docs: .venv/ready
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b linkcheck docs docs/_build/linkcheck
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b doctest docs docs/_build/doctest
	@echo "docs/_build/html/index.html"

# The fast tests with the oldest dependencies that pyproject.toml allows; needs uv.
test-lower-bounds:
	uv venv --quiet --clear --python $(PYTHON) dist/lower-bounds
	uv pip install --quiet --python dist/lower-bounds --resolution lowest-direct --group dev --editable '.[hubspot,postgres,salesforce,slack]'
	$(ONE_THREAD) dist/lower-bounds/bin/pytest -n 2 --dist loadgroup

# About half an hour on two cores and 8 GB of disk; BENCH=--small is a smoke test of minutes.
bench-features: .venv/ready
	$(BIN)/python -m tests.benchmarks.features.bench_features $(BENCH)

# About 75 minutes on two cores, mostly for the small companies: BENCH='--seeds 5' is faster, BENCH=--small is a
# smoke test, BENCH='--only dates' measures one section.
bench-model: .venv/ready
	$(BIN)/python -m tests.benchmarks.model.bench_model $(BENCH)

# Up to 40 minutes on two cores; BENCH=--small is a smoke test, BENCH='--only nulls' measures one section.
bench-gate: .venv/ready
	$(ONE_THREAD) $(BIN)/python -m tests.benchmarks.gate.bench_gate $(BENCH)

# About 15 minutes on two cores, mostly to build 100,000 accounts, which are stored; BENCH=--small is a smoke test.
bench-score: .venv/ready
	$(BIN)/python -m tests.benchmarks.score.bench_score $(BENCH)

# A fake HubSpot server with faults, and 50 senders that are killed: some minutes.
test-hubspot: .venv/ready
	$(BIN)/pytest -m "slow or not slow" tests/integration/hubspot

# Records per second to a HubSpot portal with its rate limits; a minute or two.
bench-hubspot: .venv/ready
	$(BIN)/python -m tests.integration.hubspot.bench_delivery $(BENCH)

# About 20 minutes: a constant event load with accounts that reach their limit, and a million events while processes
# are killed. BENCH='--events 50000 --kills 4 --seconds 20' is a smoke test, BENCH=--postgres also measures PostgreSQL.
bench-events: .venv/ready
	$(BIN)/python -m tests.benchmarks.events.bench_events $(BENCH)

# Two minutes: time to first byte of every page at 10,000 accounts with eight earlier lists.
# BENCH='--database postgresql' uses a real one; BENCH='--accounts 100000 --lists 11' takes twenty minutes and 3 GB of disk.
bench-page: .venv/ready
	$(BIN)/python -m tests.benchmarks.web.bench_page $(BENCH)

# Attacks on the real server over HTTP, on SQLite and PostgreSQL: about five minutes. ATTACK=--small is a smoke test,
# ATTACK='--only connections disk --on sqlite' runs these categories alone.
attack: .venv/ready
	POLARS_MAX_THREADS=1 $(BIN)/python -m tests.security.run_attacks $(ATTACK)

clean:
	rm -rf .venv dist data/local
