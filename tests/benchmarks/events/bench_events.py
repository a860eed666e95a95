"""Benchmark of the event path (``make bench-events``): throughput, latency, no event lost.

The server is the command itself with its consumer process; events come over HTTP from another
process. Everything runs on this machine, so the load generator takes its share of it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from data.config import settings
from serving import store
from serving.store.event_schema import ALERTS, CONSUMER_OFFSETS, WEBHOOK_EVENTS
from serving.store.schema import OPPORTUNITIES, SCORES
from tests import ROOT, postgres_server
from tests.benchmarks.events import crash_recovery, server_process, simulated_company
from tests.benchmarks.events.simulated_company import (
    clear_event_tables,
    count_rows,
    count_unprocessed,
)

_ACCOUNTS_TO_FILL = 30
SECRET = "bench"  # noqa: S105


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("data/local/bench/events"))
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", choices=["load", "kills"])
    parser.add_argument(
        "--postgres", action="store_true", help="also measure the load on PostgreSQL"
    )
    arguments = parser.parse_args()
    os.environ["BENCH_SECRET"] = SECRET
    config = simulated_company.prepare_company(
        arguments.folder.resolve(), arguments.accounts, arguments.months
    )
    report: dict[str, Any] = {}
    if arguments.only in {None, "load"}:
        report["sqlite"] = measure_load(config, arguments)
        if arguments.postgres:
            with serve_postgres(config) as postgres_config:
                report["postgresql"] = measure_load(postgres_config, arguments)
    if arguments.only in {None, "kills"}:
        report["kills"] = crash_recovery.measure_crash_recovery(
            config, events=arguments.events, kills=arguments.kills, secret=SECRET
        )
    print(json.dumps(report, indent=2))  # noqa: T201


def measure_load(config: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Send events at a constant rate, one per request, while some accounts reach their limit."""
    bench_settings = settings.load_settings(config)
    engine = store.open_engine(bench_settings.database_url)
    accounts = list_candidate_accounts(engine)
    clear_event_tables(engine)
    plan = {
        "name": f"l{time.time():.0f}",
        "rate": arguments.rate,
        "seconds": arguments.seconds,
        "connections": 64,
        "seed": 7,
        "secret": SECRET,
        "accounts": [account for account, _ in accounts],
    }
    with server_process.run_server(config) as server:
        server_process.wait_until(
            "the first heartbeat", lambda: count_rows(engine, CONSUMER_OFFSETS), 300
        )
        time.sleep(2)
        fills = plan["fills"] = sample_accounts_without_alert(engine, accounts)
        if not fills:
            raise SystemExit(
                f"Every account in {config.parent} has an opportunity from earlier runs;"
                " delete the folder and run again."
            )
        memory = [server.measure_memory_mb()]
        result_file = config.with_name("load.json")
        loader = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.events.load_generator"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=result_file.open("w"),
            text=True,
        )
        assert loader.stdin
        loader.stdin.write(json.dumps({**plan, "port": server.port}))
        loader.stdin.close()
        created_at = watch_opportunities(
            engine, loader, {account for account, _ in fills}, server, memory
        )
        result = json.loads(result_file.read_text())
        server_process.wait_until("all alerts saved", lambda: count_unprocessed(engine) == 0, 120)
        time.sleep(3)
        created_at |= find_opportunities(engine, set(result["filled_at"]) - set(created_at))
    latencies = np.array(result["latencies"])
    delays = {
        account: created_at[account] - filled_at
        for account, filled_at in result["filled_at"].items()
        if account in created_at
    }
    engine.dispose()
    request_count = sum(result["statuses"].values())
    return {
        "requests": request_count,
        "statuses": result["statuses"],
        "stored": count_rows(engine, WEBHOOK_EVENTS),
        "per_second": round(request_count / arguments.seconds, 1),
        "p50_ms": round(float(np.quantile(latencies, 0.5)) * 1000, 1),
        "p99_ms": round(float(np.quantile(latencies, 0.99)) * 1000, 1),
        "max_ms": round(float(latencies.max()) * 1000, 1),
        "filled_accounts": len(result["filled_at"]),
        "alerts": count_rows(engine, ALERTS),
        "opportunities": len(delays),
        "opportunity_p50_s": round(float(np.quantile(list(delays.values()), 0.5)), 2),
        "opportunity_p99_s": round(float(np.quantile(list(delays.values()), 0.99)), 2),
        "memory_mb": [{name: round(value) for name, value in each.items()} for each in memory],
    }


@contextmanager
def serve_postgres(config: Path) -> Iterator[Path]:
    """Run the same company with its state on a real PostgreSQL, with a first list."""
    with postgres_server.start_postgres() as server:
        url = postgres_server.build_url(server)
        postgres_config = config.with_name("postgres.toml")
        postgres_config.write_text(config.read_text() + f'\n[database]\nurl = "{url}"\n')
        simulated_company.run_command(postgres_config, "score")
        yield postgres_config


def watch_opportunities(
    engine: sa.Engine,
    loader: subprocess.Popen[str],
    account_ids: set[str],
    server: server_process.ServerProcess,
    memory: list[dict[str, float]],
) -> dict[str, float]:
    """Return the time at which each account's opportunity appeared in the CRM table."""
    created_at: dict[str, float] = {}
    next_sample = time.monotonic()
    while loader.poll() is None:
        created_at |= find_opportunities(engine, account_ids - set(created_at))
        if time.monotonic() >= next_sample:
            memory.append(server.measure_memory_mb())
            next_sample += 10
        time.sleep(0.1)
    return created_at


def find_opportunities(engine: sa.Engine, account_ids: set[str]) -> dict[str, float]:
    with store.read_transaction(engine) as connection:
        query = sa.select(OPPORTUNITIES.c.account_id).where(OPPORTUNITIES.c.key.is_not(None))
        matches = {row[0] for row in connection.execute(query)} & account_ids
    return dict.fromkeys(matches, time.time())


def list_candidate_accounts(engine: sa.Engine) -> list[tuple[str, int]]:
    """Return accounts with outreach allowed and no opportunity, with their licensed seats."""
    with store.read_transaction(engine) as connection:
        with_opportunity = sa.select(OPPORTUNITIES.c.account_id)
        query = sa.select(SCORES.c.account_id, SCORES.c.licensed_seats).where(
            SCORES.c.rank.is_not(None),
            SCORES.c.outreach_allowed,
            SCORES.c.licensed_seats.is_not(None),
            SCORES.c.account_id.not_in(with_opportunity),
        )
        rows = connection.execute(query.order_by(SCORES.c.account_id)).all()
    return [(row[0], int(row[1])) for row in rows if row[1] <= 200]


def sample_accounts_without_alert(
    engine: sa.Engine, accounts: list[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Return accounts spread over the list that have no alert yet."""
    with store.read_transaction(engine) as connection:
        with_alert = set(connection.scalars(sa.select(ALERTS.c.account_id)))
    candidates = [each for each in accounts if each[0] not in with_alert]
    return candidates[:: max(len(candidates) // _ACCOUNTS_TO_FILL, 1)][:_ACCOUNTS_TO_FILL]


if __name__ == "__main__":
    main()
