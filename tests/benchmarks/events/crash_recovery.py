"""Crash test of the event path: duplicated, shuffled events while processes are killed.

The expected result comes from a batch over the same events: the panel as of the coming midnight.
Every limit that is reached then has one open urgent alert, and no other limit has one.
"""

import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from data.config import settings
from data.config.settings import Settings
from data.ingest import table_loader
from features import online
from features.activity import load
from features.panel import builder
from serving import store
from serving.store.event_schema import ALERTS, CONSUMER_OFFSETS, WEBHOOK_EVENTS
from serving.store.schema import CHANGE_LOG
from tests.benchmarks.events import server_process
from tests.benchmarks.events.simulated_company import (
    clear_event_tables,
    count_rows,
    count_unprocessed,
)

BATCH = 500
SENDERS = 4
DUPLICATED_SHARE = 0.2


class ServerProcesses:
    """The server on a fixed port, killed and restarted."""

    def __init__(self, config: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config = config
        self.current = server_process.start_server(config, self.port)

    def kill(self, *, consumer: bool) -> None:
        if consumer:
            self.current.kill_consumer()
        else:
            self.current.kill()
            self.current = server_process.start_server(self.config, self.port)


def measure_crash_recovery(config: Path, *, events: int, kills: int, secret: str) -> dict[str, Any]:
    """Send events while processes are killed; compare alerts and opportunities with a batch."""
    bench_settings = settings.load_settings(config)
    engine = store.open_engine(bench_settings.database_url)
    clear_event_tables(engine)
    now = datetime.now(UTC)
    tables = table_loader.load_tables(bench_settings, now)
    distinct_events = generate_events(tables, events, now)
    deliveries = shuffle_with_duplicates(distinct_events.rows(named=True))
    servers = ServerProcesses(config)
    server_process.wait_until(
        "the first heartbeat", lambda: count_rows(engine, CONSUMER_OFFSETS), 300
    )
    started = time.monotonic()
    batches = (deliveries[start : start + BATCH] for start in range(0, len(deliveries), BATCH))
    lock, counters = threading.Lock(), Counter[str]()
    threads = [
        threading.Thread(target=_send_batches, args=(servers, batches, lock, counters, secret))
        for _ in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    memory, kills_done = [], 0
    while any(thread.is_alive() for thread in threads) or kills_done < kills:
        is_due = counters["batches"] * BATCH >= len(deliveries) * (kills_done + 1) / (kills + 1)
        if (is_due or not any(thread.is_alive() for thread in threads)) and kills_done < kills:
            servers.kill(consumer=kills_done % 2 == 0)
            kills_done += 1
            time.sleep(3)
            memory.append(servers.current.measure_memory_mb())
        time.sleep(0.05)
    seconds = time.monotonic() - started
    server_process.wait_until("all events processed", lambda: count_unprocessed(engine) == 0, 900)
    seconds_to_process = time.monotonic() - started
    is_unsaved = ALERTS.c.committed_severity.is_(None) & ALERTS.c.closed_at.is_(None)
    server_process.wait_until(
        "all alerts saved", lambda: count_rows(engine, ALERTS, is_unsaved) == 0, 300
    )
    time.sleep(3)
    servers.current.process.terminate()
    servers.current.process.wait(60)
    expected = find_reached_limits(bench_settings, tables, distinct_events, now)
    raised = list_open_alerts(engine, before_monitoring=False)
    raised_before = set(list_open_alerts(engine, before_monitoring=True))
    stored = count_rows(engine, WEBHOOK_EVENTS)
    created_twice = count_duplicate_opportunities(engine)
    engine.dispose()
    return {
        "events": distinct_events.height,
        "sent": len(deliveries),
        "requests_retried": counters["retries"],
        "kills": kills_done,
        "stored": stored,
        "seconds_to_send": round(seconds),
        "seconds_to_process": round(seconds_to_process),
        "limits_reached": len(expected),
        "raised": len(raised),
        "raised_before_monitoring": len(raised_before),
        "missed": sorted(expected - set(raised) - raised_before)[:10],
        "false_alerts": sorted(set(raised) - expected)[:10],
        "duplicates": [key for key, number in Counter(raised).items() if number > 1],
        "created_twice": created_twice,
        "consumers_left": server_process.count_consumers(config),
        "memory_mb": [{name: round(value) for name, value in each.items()} for each in memory],
    }


def generate_events(tables: table_loader.Tables, events: int, now: datetime) -> pl.DataFrame:
    """Generate events of the last hour; some accounts have more active users than seats."""
    rng = random.Random(11)  # noqa: S311
    accounts = tables.accounts.rows["account_id"].to_list()
    users_by_account = {account: rng.randrange(1, 40) for account in accounts}
    rows = []
    for number in range(events):
        account = rng.choice(accounts)
        rows.append(
            {
                "account_id": account,
                "user_id": f"{account}-f{rng.randrange(users_by_account[account])}",
                "timestamp": now - timedelta(seconds=rng.uniform(0, 3600)),
                "event": rng.choice(["use", "use", "use", "api_call", "login"]),
                "feature": rng.choice(["reports", "search"]),
                "quantity": 1.0,
                "event_id": f"bench-{now.timestamp():.0f}-{number}",
                "known_at": now,
            }
        )
    schema = {"timestamp": pl.Datetime("us", "UTC"), "known_at": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema_overrides=schema)


def shuffle_with_duplicates(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all events, some twice, in the order of arrival with up to an hour of delay."""
    rng = random.Random(12)  # noqa: S311
    duplicated = rng.sample(rows, int(len(rows) * DUPLICATED_SHARE))
    arrivals = [(row["timestamp"] + timedelta(seconds=rng.uniform(0, 3600)), row) for row in rows]
    arrivals += [
        (row["timestamp"] + timedelta(seconds=rng.uniform(0, 3600)), row) for row in duplicated
    ]
    return [row for _, row in sorted(arrivals, key=lambda each: each[0])]


def find_reached_limits(
    config: Settings, tables: table_loader.Tables, distinct_events: pl.DataFrame, now: datetime
) -> set[tuple[str, str]]:
    """Return the limits that a batch over log and events finds reached."""
    _, log = load.load_data(config, now=now)
    account_ids = tables.accounts.rows["account_id"]
    activity = online.append_events(
        log, distinct_events, account_ids, roles=config.roles, seats=config.seats
    )
    panel = builder.build_panel(activity, tables, [online.get_next_midnight(now.date())], config)
    conditions = {
        "seats": pl.col("seat_utilization") >= config.alerts.urgent,
        "usage": pl.col("usage_ratio") >= config.alerts.urgent,
    }
    # Every account under a paid contract has an event now, so it is eligible.
    return {
        (account, limit)
        for limit, condition in conditions.items()
        for account in panel.snapshots.filter(condition)["account_id"]
    }


def list_open_alerts(engine: sa.Engine, *, before_monitoring: bool) -> list[tuple[str, str]]:
    """Return open urgent alerts: those the consumer raised, or those from before monitoring."""
    reason = sa.func.coalesce(ALERTS.c.message, "")
    is_from_before = reason.like("above the threshold before%")
    with store.read_transaction(engine) as connection:
        query = sa.select(ALERTS.c.account_id, ALERTS.c.limit).where(
            ALERTS.c.severity == "urgent",
            ALERTS.c.closed_at.is_(None),
            is_from_before if before_monitoring else ~is_from_before,
        )
        return [(row[0], row[1]) for row in connection.execute(query)]


def count_duplicate_opportunities(engine: sa.Engine) -> int:
    """Count opportunities that were created more than once."""
    with store.read_transaction(engine) as connection:
        table = CHANGE_LOG.c
        query = (
            sa.select(table.key)
            .where(table.kind == "opportunity", table.created)
            .group_by(table.key)
            .having(sa.func.count() > 1)
        )
        return len(connection.execute(query).all())


def _send_batches(
    servers: ServerProcesses,
    batches: Iterator[list[dict[str, Any]]],
    lock: threading.Lock,
    counters: Counter[str],
    secret: str,
) -> None:
    """Send batches, each until the server accepts it, as a webhook source does."""
    headers = {"X-Webhook-Secret": secret, "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", servers.port, timeout=60)
    while True:
        with lock:
            batch = next(batches, None)
        if batch is None:
            return
        body = json.dumps([_to_message(row) for row in batch])
        while True:
            with suppress(OSError, http.client.HTTPException):
                connection.request("POST", "/webhooks/generic", body, headers)
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    break
            connection.close()
            with lock:
                counters["retries"] += 1
            time.sleep(0.3)
        with lock:
            counters["batches"] += 1


def _to_message(row: dict[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in row.items() if name != "known_at"}
    return {**fields, "timestamp": row["timestamp"].isoformat()}
