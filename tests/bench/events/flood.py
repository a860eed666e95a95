"""A million events, repeated and shuffled within an hour, while processes are killed.

What must come of them is said by a batch over the same events: the panel, as of the coming
midnight. Every limit that is reached then has one urgent signal, and no other limit has one.
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
import served
import sqlalchemy as sa

from data.config import settings
from data.config.settings import Settings
from data.ingest import table_loader
from features import online
from features.panel import builder
from serving import store
from serving.store.event_schema import ALERTS, CONSUMER_OFFSETS, WEBHOOK_EVENTS
from serving.store.schema import CHANGE_LOG
from training.pipeline import training_run

BATCH = 500
SENDERS = 4
REPEATED = 0.2


class Servers:
    """The server on one port, killed and started again."""

    def __init__(self, config: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config = config
        self.at = served.start(config, self.port)

    def kill(self, *, watcher: bool) -> None:
        if watcher:
            self.at.kill_watcher()
        else:
            self.at.kill()
            self.at = served.start(self.config, self.port)


def run(config: Path, *, events: int, kills: int, secret: str) -> dict[str, Any]:
    known = settings.load_settings(config)
    engine = store.open_engine(known.database_url)
    _clean(engine)
    now = datetime.now(UTC)
    tables = table_loader.load_tables(known, now)
    unique = drawn(tables, events, now)
    sent = repeated(unique.rows(named=True))
    servers = Servers(config)
    served.until("a first look", lambda: _count(engine, CONSUMER_OFFSETS), 300)
    started = time.monotonic()
    batches = (sent[start : start + BATCH] for start in range(0, len(sent), BATCH))
    lock, taken = threading.Lock(), Counter[str]()
    threads = [
        threading.Thread(target=_send, args=(servers, batches, lock, taken, secret))
        for _ in range(SENDERS)
    ]
    for thread in threads:
        thread.start()
    memory, killed = [], 0
    while any(thread.is_alive() for thread in threads) or killed < kills:
        reached = taken["batches"] * BATCH >= len(sent) * (killed + 1) / (kills + 1)
        if (reached or not any(thread.is_alive() for thread in threads)) and killed < kills:
            servers.kill(watcher=killed % 2 == 0)
            killed += 1
            time.sleep(3)
            memory.append(servers.at.memory_mb())
        time.sleep(0.05)
    seconds = time.monotonic() - started
    served.until("all counted", lambda: _behind(engine) == 0, 900)
    counted = time.monotonic() - started
    served.until("all told", lambda: _untold(engine) == 0, 300)
    time.sleep(3)
    servers.at.process.terminate()
    servers.at.process.wait(60)
    wanted, found = judged(known, tables, unique, now), signals(engine, quiet=False)
    before = set(signals(engine, quiet=True))
    engine.dispose()
    return {
        "events": unique.height,
        "sent": len(sent),
        "requests_repeated": taken["again"],
        "kills": killed,
        "stored": _stored(known),
        "seconds_to_send": round(seconds),
        "seconds_to_count": round(counted),
        "limits_reached": len(wanted),
        "raised": len(found),
        "from_before": len(before),
        "missed": sorted(wanted - set(found) - before)[:10],
        "raised_for_nothing": sorted(set(found) - wanted)[:10],
        "doubled": [key for key, number in Counter(found).items() if number > 1],
        "made_twice": made_twice(known),
        "watchers_left": served.watchers(config),
        "memory_mb": [{name: round(value) for name, value in each.items()} for each in memory],
    }


def drawn(tables: table_loader.Tables, events: int, now: datetime) -> pl.DataFrame:
    """So many events of the last hour: at some accounts more people than seats, at others fewer."""
    chance = random.Random(11)  # noqa: S311
    accounts = tables.accounts.rows["account_id"].to_list()
    people = {account: chance.randrange(1, 40) for account in accounts}
    rows = []
    for number in range(events):
        account = chance.choice(accounts)
        rows.append(
            {
                "account_id": account,
                "user_id": f"{account}-f{chance.randrange(people[account])}",
                "timestamp": now - timedelta(seconds=chance.uniform(0, 3600)),
                "event": chance.choice(["use", "use", "use", "api_call", "login"]),
                "feature": chance.choice(["reports", "search"]),
                "quantity": 1.0,
                "event_id": f"flood-{now.timestamp():.0f}-{number}",
                "known_at": now,
            }
        )
    schema = {"timestamp": pl.Datetime("us", "UTC"), "known_at": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema_overrides=schema)


def repeated(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some twice, and all as they would come when each is up to an hour late."""
    chance = random.Random(12)  # noqa: S311
    more = chance.sample(rows, int(len(rows) * REPEATED))
    late = [(row["timestamp"] + timedelta(seconds=chance.uniform(0, 3600)), row) for row in rows]
    late += [(row["timestamp"] + timedelta(seconds=chance.uniform(0, 3600)), row) for row in more]
    return [row for _, row in sorted(late, key=lambda each: each[0])]


def judged(
    known: Settings, tables: table_loader.Tables, unique: pl.DataFrame, now: datetime
) -> set[tuple[str, str]]:
    """The limits that a batch over log and events finds reached."""
    _, log = training_run.load_data(known, now=now)
    ours = tables.accounts.rows["account_id"]
    whole = online.append_events(log, unique, ours, roles=known.roles, seats=known.seats)
    built = builder.build_panel(whole, tables, [online.next_midnight(now.date())], known)
    full = {
        "seats": pl.col("seat_utilization") >= known.alerts.urgent,
        "usage": pl.col("usage_ratio") >= known.alerts.urgent,
    }
    # Whoever is under a paid contract has an event now, and so is eligible.
    return {
        (account, limit)
        for limit, is_full in full.items()
        for account in built.snapshots.filter(is_full)["account_id"]
    }


def signals(engine: sa.Engine, *, quiet: bool) -> list[tuple[str, str]]:
    """Open urgent signals: those that were raised, or those from before events were watched."""
    words = sa.func.coalesce(ALERTS.c.words, "")
    was_before = words.like("under pressure before%")
    with store.read_transaction(engine) as connection:
        query = sa.select(ALERTS.c.account_id, ALERTS.c.limit).where(
            ALERTS.c.level == "urgent",
            ALERTS.c.closed_at.is_(None),
            was_before if quiet else ~was_before,
        )
        return [(row[0], row[1]) for row in connection.execute(query)]


def made_twice(known: Settings) -> int:
    """Opportunities that were made more than once."""
    engine = store.open_engine(known.database_url)
    with store.read_transaction(engine) as connection:
        table = CHANGE_LOG.c
        query = (
            sa.select(table.key)
            .where(table.kind == "opportunity", table.made)
            .group_by(table.key)
            .having(sa.func.count() > 1)
        )
        found = len(connection.execute(query).all())
    engine.dispose()
    return found


def _send(
    servers: Servers,
    batches: Iterator[list[dict[str, Any]]],
    lock: threading.Lock,
    taken: Counter[str],
    secret: str,
) -> None:
    """Send batches, each until it is taken, as a source does."""
    headers = {"X-Webhook-Secret": secret, "Content-Type": "application/json"}
    line = http.client.HTTPConnection("127.0.0.1", servers.port, timeout=60)
    while True:
        with lock:
            batch = next(batches, None)
        if batch is None:
            return
        body = json.dumps([_message(row) for row in batch])
        while True:
            with suppress(OSError, http.client.HTTPException):
                line.request("POST", "/webhooks/generic", body, headers)
                answer = line.getresponse()
                answer.read()
                if answer.status == 200:
                    break
            line.close()
            with lock:
                taken["again"] += 1
            time.sleep(0.3)
        with lock:
            taken["batches"] += 1


def _message(row: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in row.items() if name != "known_at"}
    return {**told, "timestamp": row["timestamp"].isoformat()}


def _stored(known: Settings) -> int:
    engine = store.open_engine(known.database_url)
    stored = _count(engine, WEBHOOK_EVENTS)
    engine.dispose()
    return stored


def _count(engine: sa.Engine, table: sa.Table) -> int:
    with store.read_transaction(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def _behind(engine: sa.Engine) -> int:
    with store.read_transaction(engine) as connection:
        last = connection.scalar(sa.select(sa.func.max(WEBHOOK_EVENTS.c.id))) or 0
        return last - (connection.scalar(sa.select(CONSUMER_OFFSETS.c.position)) or 0)


def _untold(engine: sa.Engine) -> int:
    with store.read_transaction(engine) as connection:
        untold = ALERTS.c.told_level.is_(None) & ALERTS.c.closed_at.is_(None)
        return connection.scalar(sa.select(sa.func.count()).select_from(ALERTS).where(untold)) or 0


def _clean(engine: sa.Engine) -> None:
    with store.write_transaction(engine) as connection:
        for table in (WEBHOOK_EVENTS, ALERTS, CONSUMER_OFFSETS):
            connection.execute(sa.delete(table))
        connection.exec_driver_sql("DELETE FROM watches")
