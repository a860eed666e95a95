"""Test company in the database as the weekly run leaves it, and its web server."""

import json
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import polars as pl
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from data.config.settings import Settings
from serving import store
from serving.store import writers
from serving.store.event_schema import ALERTS
from serving.store.schema import SCORE_COLUMNS
from serving.web import app, uvicorn_server

MONDAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 2, 9, 30, tzinfo=UTC)
CSMS = ("Ada", "Ben", None)
MANAGER_TOKEN = "a-token-of-a-lead-0123456789"  # noqa: S105
TOKENS = {"Ada": "a-token-of-ada-0123456789", "Ben": "a-token-of-ben-0123456789"}
TOKEN_SETTINGS = {"token": MANAGER_TOKEN, "tokens": TOKENS}
# As many features as a real model, so that rows are as wide.
_CONTRIBUTIONS = json.dumps(
    {"headroom": 2.0, "tenure": 0.75, "mrr": -0.25}
    | {f"a_signal_of_no_story_{index}": 0.0 for index in range(60)}
)
_TLS = ssl.create_default_context()  # takes long to build
_BANDS = (
    *((0.4, "40% and more"), (0.2, "20% to 40%"), (0.1, "10% to 20%"), (0.05, "5% to 10%")),
    *((0.02, "2% to 5%"), (0.0, "under 2%")),
)


@dataclass(frozen=True)
class WebFixture:
    """A database, its list rows, and an HTTP client of its pages."""

    engine: sa.Engine
    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    settings: Settings
    client: httpx.Client
    stack: ExitStack

    def get_text(self, path: str, **options: Any) -> str:
        """Return the page at a URL, which must answer 200."""
        response = self.client.get(path, **options)
        assert response.status_code == 200, (path, response.status_code, response.text[:400])
        return response.text

    def new_client(self, **headers: str) -> httpx.Client:
        """Return another client without cookies."""
        return self.stack.enter_context(open_client(str(self.client.base_url), **headers))


def open_client(url: str, **headers: str) -> httpx.Client:
    """Open a client without cookies; it uses plain HTTP, so clients share one TLS context."""
    return httpx.Client(base_url=url, headers=headers, timeout=30, verify=_TLS)


def build_rows(
    count: int, *, as_of: date = MONDAY, seed: int = 1, names: Mapping[int, str] | None = None
) -> list[dict[str, Any]]:
    """Build the rows of a list, by rank."""
    draw = Random(seed)  # noqa: S311
    probabilities = sorted((draw.random() ** 3 for _ in range(count)), reverse=True)
    rows, portfolio_sizes = [], dict.fromkeys(CSMS, 0)
    for index, probability in enumerate(probabilities):
        csm = draw.choice(CSMS)
        portfolio_sizes[csm] += 1
        rows.append(
            {
                **dict.fromkeys(SCORE_COLUMNS),
                "account_id": f"acc_{index:05}",
                "rank": index + 1,
                "portfolio_rank": portfolio_sizes[csm],
                "name": (names or {}).get(index, f"{draw.choice(('Teal', 'Amber'))} Mill {index}"),
                "csm": csm,
                "probability": probability,
                "low": probability * 0.7,
                "high": min(probability * 1.3, 1.0),
                "band": next(name for least, name in _BANDS if probability >= least),
                "band_track_record": "4 of 10 accounts in this band expanded",
                "readiness_date": as_of + timedelta(days=draw.randrange(60)) if index % 3 else None,
                "expected_date": as_of + timedelta(days=50),
                "expected_early": as_of + timedelta(days=20),
                "expected_late": as_of + timedelta(days=120),
                "probability_180d": min(probability * 1.5, 1.0),
                "expected_arr": draw.choice((None, probability * 10_000)),
                "churn_probability": 0.03,
                "limit": draw.choice(("seats", "usage", "plan", "none")),
                "tier": draw.choice((1, 2, None)),
                "motion": draw.choice(("seat add", "watch", "cooldown")),
                "contact_role": "champion",
                "signals": [f"{index} people active on {index + 1} seats", "3 people joined"],
                "counter_reasons": ["Nobody new for 31 days"],
                "changes": ["New on the list"],
                "active_seats": index,
                "licensed_seats": index + 1,
                "seat_utilization": index / (index + 1),
                "margin": 0.5,
                "base": -2.0,
                "contributions": _CONTRIBUTIONS,
                "model": "1",
                "in_weekly_capacity": index % 5 == 0,
                "outreach_allowed": index % 7 != 0,
            }
        )
    return rows


def build_details(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Build the stored chart data of each account."""
    ends = [(MONDAY - timedelta(days=30 * back)).isoformat() for back in range(12, -1, -1)]
    details = {
        "curve": {
            "days": [30, 60, 180],
            "probability": [0.1, 0.3, 0.6],
            "low": [0.05, 0.2, 0.4],
            "high": [0.2, 0.45, 0.8],
        },
        "months": {
            "ends": ends,
            "active_seats": [None, None, *range(5, 16)],
            "seats": [None, *[12.0] * 6, *[16.0] * 6],
            "api_calls": [None, *[1000.0 * n for n in range(1, 13)]],
        },
        "contract": {
            "effective": ["2025-05-01", "2026-01-10", "2026-08-01"],
            "seats": [12.0, 16.0, 20.0],
            "usage_limit": [10_000.0, 15_000.0, 15_000.0],
            "plan": ["team", "business", "business"],
            "mrr": [200.0, 320.0, 400.0],
            "change": ["new", "true_up", "ramp"],
            "status": ["paid", "paid", "paid"],
        },
        "plan": "business",
        "usage_limit": 15_000.0,
        "mrr": 320.0,
        "renewal": "2027-05-01",
    }
    segments = ("small", "large", None)
    return pl.DataFrame(
        {
            "account_id": [row["account_id"] for row in rows],
            "segment": [segments[index % 3] for index in range(len(rows))],
            "payload": [json.dumps(details)] * len(rows),
        },
        schema_overrides={"segment": pl.String},
    )


def build_record(listed: int, *, events: int) -> dict[str, Any]:
    """Build a run record."""
    return {
        "basis": "by model version 1",
        "verdict": "The model beats the base rate.",
        "bands": [
            {"band": b, "snapshots": 100, "expected": 0.2, "value": 0.25, "low": 0.2, "high": 0.3}
            for _, b in _BANDS
        ],
        "log": {
            "first_day": "2023-06-01",
            "last_day": "2026-05-31",
            "events": events,
            "missing_days": 0,
        },
        "capacity": {"accounts": 2, "explanation": "2 accounts a week for each of 2 CSMs."},
        "listed": listed,
        "excluded": {"on trial": 1},
        "quarantine": {"events": {"duplicate event_id": 3}},
        "card": {"metrics": {"model": {"precision_at_capacity": 0.475, "auroc": 0.82}}, "gate": {}},
    }


def write_list(engine: sa.Engine, rows: Sequence[Mapping[str, Any]], as_of: date = MONDAY) -> None:
    """Write a list as the weekly run writes it."""
    listed = pl.DataFrame(rows, infer_schema_length=None)
    not_listed = pl.DataFrame(
        {"account_id": ["gone"], "name": ["Gone Ltd"], "csm": ["Ada"], "note": ["on trial"]}
    )
    with store.write_transaction(engine) as connection:
        events = 9 if as_of == MONDAY else 9_000  # three of them are rejected
        record = build_record(len(rows), events=events)
        arguments = {"model": "1", "record": record, "finished_at": NOW}
        writers.insert_run(connection, as_of, **arguments)
        writers.replace_scores(connection, listed, not_listed, as_of)
        writers.replace_account_details(connection, build_details(rows), as_of)
        writers.replace_list_index(connection, listed, build_details(rows), as_of)


@cache
def build_empty_database() -> bytes:
    """Return a migrated, empty SQLite file; cached, since migration is slow."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "crm.db")
        store.open_engine(f"sqlite:///{file}").dispose()
        return file.read_bytes()


@contextmanager
def open_web_fixture(
    folder: Path,
    *,
    count: int = 120,
    web: Mapping[str, Any] | None = None,
    webhooks: Mapping[str, Any] | None = None,
    names: Mapping[int, str] | None = None,
    with_webhooks: bool = False,
    database: str = "",
) -> Iterator[WebFixture]:
    """Serve the pages of a generated company; on SQLite unless another database is given."""
    folder.mkdir(exist_ok=True)
    if not database:
        (folder / "crm.db").write_bytes(build_empty_database())
    engine = store.open_engine(database or f"sqlite:///{folder / 'crm.db'}")
    rows = build_rows(count, names=names)
    write_list(
        engine,
        build_rows(count, as_of=MONDAY - timedelta(days=7), seed=2),
        MONDAY - timedelta(days=7),
    )
    write_list(engine, rows)
    settings = Settings(web=dict(web or {}), webhooks=dict(webhooks or {}), base=folder)
    web_app = app.create_app(settings, engine, clock=lambda: NOW, webhooks=with_webhooks)
    with (
        run_app(web_app) as at,
        open_client(at) as browser,
        ExitStack() as opened,
    ):
        yield WebFixture(engine, rows, settings, browser, opened)
    engine.dispose()


@contextmanager
def run_app(web_app: FastAPI) -> Iterator[str]:
    """Run a real server of the app on a free port, as the command does."""
    with uvicorn_server.bind_socket("127.0.0.1", 0) as (taken, url):
        running = uvicorn.Server(uvicorn_server.build_config(web_app))
        thread = threading.Thread(target=running.run, args=([taken],), daemon=True)
        thread.start()
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield url
        running.should_exit = True
        thread.join(10)


def insert_alert(
    engine: sa.Engine, account_id: str, *, severity: str, at: date, closed: date | None = None
) -> None:
    """Insert an alert as the event consumer does."""
    alert: dict[str, Any] = {"used": 9.0, "limit_value": 10.0, "used_90d_ago": 6.0}
    moments = {"opened_at": at, "severity_at": at, "closed_at": closed}
    alert |= {
        name: day and datetime.combine(day, datetime.min.time(), UTC)
        for name, day in moments.items()
    }
    alert |= {"limit": "seats", "number": 1, "severity": severity}
    alert["close_reason"] = "relieved" if closed else None
    with store.write_transaction(engine) as connection:
        connection.execute(sa.insert(ALERTS).values(account_id=account_id, **alert))


def read_hidden_fields(page: str) -> dict[str, str]:
    """Return the hidden fields of the feedback form."""
    return {
        name: re.findall(f'name="{name}" value="([^"]*)"', page)[0]
        for name in ("csrf_token", "form_id")
    }


def submit_feedback(browser: httpx.Client, account_id: str, **fields: str) -> httpx.Response:
    """Load an account page, and submit its form."""
    page = browser.get("/account", params={"id": account_id}).text
    return browser.post(
        "/account", params={"id": account_id}, data={**read_hidden_fields(page), **fields}
    )
