"""Benchmark of the web page (``make bench-page``): time to first byte, one and eight readers.

The server is the command itself in its own process, over generated list rows as wide as a
model's. The reader is on the same machine and takes its share of it.
"""

import argparse
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import polars as pl
import sqlalchemy as sa

from serving import store
from serving.store import writers
from serving.store.schema import SCORES
from tests import postgres_server
from tests.benchmarks.bench_script import log_line
from tests.benchmarks.events import server_process
from tests.integration.web import web_client

_PORTFOLIOS: Final = 50
_HTMX_HEADERS: Final = {"HX-Request": "true", "HX-Target": "list"}
_CSV_REQUESTS: Final = 5  # a CSV response is large, so few requests suffice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--lists", type=int, default=9, help="the current list and earlier ones")
    parser.add_argument("--requests", type=int, default=100, help="requests per address")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="page")))
        url = f"sqlite:///{folder / 'crm.db'}"
        if arguments.database == "postgresql":
            server = stack.enter_context(postgres_server.start_postgres())
            url = postgres_server.build_url(server)
        started = time.monotonic()
        write_lists(url, arguments.accounts, arguments.lists)
        log_line(f"lists written in {time.monotonic() - started:.0f} s")
        config = folder / "expansion.toml"
        config.write_text(_SETTINGS.format(url=url), encoding="utf-8")
        web_server = stack.enter_context(server_process.run_server(config))
        measurements = [
            measure_address(web_server.port, *each, arguments.requests)
            for each in list_addresses(arguments.accounts)
        ]
        memory = web_server.measure_memory_mb()
    print_table(measurements)
    size = {
        "accounts": arguments.accounts,
        "lists": arguments.lists,
        "database": arguments.database,
    }
    print(json.dumps({**size, "memory_mb": memory, "addresses": measurements}))  # noqa: T201


_SETTINGS: Final = """\
[tables]
events = "none.parquet"
subscriptions = "none.parquet"
accounts = "none.parquet"
users = "none.parquet"

[outcome]
plans = ["team", "business"]

[database]
url = "{url}"
"""


def list_addresses(accounts: int) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Yield the name, address and headers of each request."""
    yield "list", "/", {}
    yield "list, table alone", "/", _HTMX_HEADERS
    yield "search", "/?q=mill+77", _HTMX_HEADERS
    yield "search for an id", f"/?q=acc_{accounts // 2:05}", _HTMX_HEADERS
    yield "filters", "/?csm=CSM+7&tier=1&limit=seats", _HTMX_HEADERS
    yield "ready, by name", "/?when=ready&sort=name", _HTMX_HEADERS
    yield "new alerts", "/?when=alert", _HTMX_HEADERS
    yield "last page", f"/?page={accounts // 50}", {}
    yield "account", f"/account?id=acc_{accounts // 3:05}", {}
    yield "model", "/model", {}
    yield "runs", "/runs", {}
    yield "CSV of a portfolio", "/list.csv?csm=CSM+7", {}
    yield "CSV of all", "/list.csv", {}


def write_lists(url: str, accounts: int, lists: int) -> None:
    """Write the lists as the weekly run does, the newest last, with alerts and account details."""
    engine = store.open_engine(url)
    ineligible = pl.DataFrame(
        schema=dict.fromkeys(("account_id", "name", "csm", "note"), pl.String)
    )
    for back in range(lists - 1, -1, -1):
        as_of = web_client.MONDAY - timedelta(days=7 * back)
        rows = web_client.build_rows(accounts, as_of=as_of, seed=back + 1)
        for index, row in enumerate(rows):
            row |= {"csm": f"CSM {index % _PORTFOLIOS}", "portfolio_rank": index // _PORTFOLIOS + 1}
        accounts_frame = pl.DataFrame(rows, infer_schema_length=None)
        with store.write_transaction(engine) as connection:
            record = web_client.build_record(accounts, events=9_000_000)
            writers.insert_run(
                connection, as_of, model="1", record=record, finished_at=web_client.NOW
            )
            writers.replace_scores(connection, accounts_frame, ineligible, as_of)
            if back == 0:
                details = web_client.build_details(rows)
                writers.replace_account_details(connection, details, as_of)
                writers.replace_list_index(connection, accounts_frame, details, as_of)
        log_line(f"list of {as_of}")
    for index in range(0, accounts, 100):
        web_client.insert_alert(
            engine,
            f"acc_{index:05}",
            severity="urgent",
            at=web_client.MONDAY - timedelta(days=index),
        )
    with store.read_transaction(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(SCORES)) == accounts * lists
    engine.dispose()


def measure_address(
    port: int, name: str, path: str, headers: Mapping[str, str], requests: int
) -> dict[str, Any]:
    """Return milliseconds to the first byte, with one reader and with eight."""
    count = _CSV_REQUESTS if path.startswith("/list.csv") else requests
    time_requests(port, path, headers, 3)
    single_reader = time_requests(port, path, headers, count)
    with ThreadPoolExecutor(8) as readers:
        parts = readers.map(lambda _: time_requests(port, path, headers, -(-count // 8)), range(8))
        eight_readers = [each for part in parts for each in part]
    row: dict[str, Any] = {"address": name}
    for suffix, waits in (("", single_reader), ("_of_8", eight_readers)):
        for share in (50, 99):
            row[f"p{share}_ms{suffix}"] = round(float(np.percentile(waits, share)) * 1000, 1)
    log_line(json.dumps(row))
    return row


def time_requests(port: int, path: str, headers: Mapping[str, str], count: int) -> list[float]:
    """Return seconds to the first byte of ``count`` consecutive requests of one reader."""
    waits = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for _ in range(count):
        started = time.perf_counter()
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        response.read(1)
        waits.append(time.perf_counter() - started)
        assert response.status == 200, (path, response.status)
        response.read()
    connection.close()
    return waits


def print_table(measurements: list[dict[str, Any]]) -> None:
    names = list(measurements[0])
    for row in ([*names], *([str(each[name]) for name in names] for each in measurements)):
        log_line(
            "  ".join(f"{cell:>12}" if index else f"{cell:18}" for index, cell in enumerate(row))
        )


if __name__ == "__main__":
    main()
