"""A company in the database as the weekly run leaves it, made in a blink; and its page."""

import json
import re
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
LEAD_TOKEN = "a-token-of-a-lead-0123456789"  # noqa: S105
TOKENS = {"Ada": "a-token-of-ada-0123456789", "Ben": "a-token-of-ben-0123456789"}
SIGNED_IN = {"token": LEAD_TOKEN, "tokens": TOKENS}
# As many as a model has, so that a line is as wide as in earnest.
_CONTRIBUTIONS = json.dumps(
    {"headroom": 2.0, "tenure": 0.75, "mrr": -0.25}
    | {f"a_signal_of_no_story_{place}": 0.0 for place in range(60)}
)
_BANDS = ((0.4, "40% and more"), (0.2, "20% to 40%"), (0.05, "5% to 20%"), (0.0, "under 5%"))


@dataclass(frozen=True)
class Office:
    """A database, the lines in it, and a browser without a screen on its page."""

    engine: sa.Engine
    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    settings: Settings
    browser: httpx.Client
    open: ExitStack

    def text(self, path: str, **asked: Any) -> str:
        """The page at an address, which must be there."""
        answer = self.browser.get(path, **asked)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:400])
        return answer.text

    def again(self, **headers: str) -> httpx.Client:
        """Another browser on the same page, with nothing in it."""
        made = httpx.Client(base_url=self.browser.base_url, headers=headers)
        return self.open.enter_context(made)


def lines(
    count: int, *, as_of: date = MONDAY, seed: int = 1, names: Mapping[int, str] | None = None
) -> list[dict[str, Any]]:
    """The lines of a list, by rank."""
    draw = Random(seed)  # noqa: S311
    chances = sorted((draw.random() ** 3 for _ in range(count)), reverse=True)
    rows, books = [], dict.fromkeys(CSMS, 0)
    for place, chance in enumerate(chances):
        csm = draw.choice(CSMS)
        books[csm] += 1
        rows.append(
            {
                **dict.fromkeys(SCORE_COLUMNS),
                "account_id": f"acc_{place:05}",
                "rank": place + 1,
                "book_rank": books[csm],
                "name": (names or {}).get(place, f"{draw.choice(('Teal', 'Amber'))} Mill {place}"),
                "csm": csm,
                "probability": chance,
                "low": chance * 0.7,
                "high": min(chance * 1.3, 1.0),
                "band": next(name for least, name in _BANDS if chance >= least),
                "band_told": "4 of 10 accounts in this band expanded",
                "readiness_date": as_of + timedelta(days=draw.randrange(60)) if place % 3 else None,
                "expected_date": as_of + timedelta(days=50),
                "expected_early": as_of + timedelta(days=20),
                "expected_late": as_of + timedelta(days=120),
                "probability_180d": min(chance * 1.5, 1.0),
                "expected_arr": draw.choice((None, chance * 10_000)),
                "churn_probability": 0.03,
                "limit": draw.choice(("seats", "usage", "plan", "none")),
                "tier": draw.choice((1, 2, None)),
                "motion": draw.choice(("seat add", "watch", "rest")),
                "buyer": "champion",
                "signals": [f"{place} people active on {place + 1} seats", "3 people joined"],
                "holds_back": ["Nobody new for 31 days"],
                "changed": ["New on the list"],
                "active_seats": place,
                "licensed_seats": place + 1,
                "seat_utilization": place / (place + 1),
                "margin": 0.5,
                "base": -2.0,
                "contributions": _CONTRIBUTIONS,
                "model": "1",
                "this_week": place % 5 == 0,
                "ask": place % 7 != 0,
            }
        )
    return rows


def portraits(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """What the page draws of each account."""
    ends = [(MONDAY - timedelta(days=30 * back)).isoformat() for back in range(12, -1, -1)]
    told = {
        "curve": {
            "days": [30, 60, 180],
            "chance": [0.1, 0.3, 0.6],
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
            "segment": [segments[place % 3] for place in range(len(rows))],
            "told": [json.dumps(told)] * len(rows),
        },
        schema_overrides={"segment": pl.String},
    )


def record(listed: int, *, events: int) -> dict[str, Any]:
    """How a list came about."""
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
            "days_missing": 0,
        },
        "capacity": {"accounts": 2, "why": "2 accounts a week for each of 2 CSMs."},
        "listed": listed,
        "excluded": {"on trial": 1},
        "quarantine": {"events": {"event_id seen before": 3}},
        "card": {"figures": {"model": {"precision_at_capacity": 0.475, "auroc": 0.82}}, "gate": {}},
    }


def enter(engine: sa.Engine, rows: Sequence[Mapping[str, Any]], as_of: date = MONDAY) -> None:
    """Write a list as the weekly run writes it."""
    listed = pl.DataFrame(rows, infer_schema_length=None)
    left = pl.DataFrame(
        {"account_id": ["gone"], "name": ["Gone Ltd"], "csm": ["Ada"], "note": ["on trial"]}
    )
    with store.write_transaction(engine) as connection:
        events = 9 if as_of == MONDAY else 9_000  # of which three are refused
        made = record(len(rows), events=events)
        told = {"model": "1", "record": made, "finished_at": NOW}
        writers.insert_run(connection, as_of, **told)
        writers.replace_scores(connection, listed, left, as_of)
        writers.replace_account_details(connection, portraits(rows), as_of)
        writers.replace_list_index(connection, listed, portraits(rows), as_of)


@cache
def _empty() -> bytes:
    """A database with its tables and nothing in them: made once, for that takes longest."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "crm.db")
        store.open_engine(f"sqlite:///{file}").dispose()
        return file.read_bytes()


@contextmanager
def office(
    folder: Path,
    *,
    count: int = 120,
    web: Mapping[str, Any] | None = None,
    webhooks: Mapping[str, Any] | None = None,
    names: Mapping[int, str] | None = None,
    hooks: bool = False,
    database: str = "",
) -> Iterator[Office]:
    """Open a page over a made-up company; on SQLite unless another database is named."""
    folder.mkdir(exist_ok=True)
    if not database:
        (folder / "crm.db").write_bytes(_empty())
    engine = store.open_engine(database or f"sqlite:///{folder / 'crm.db'}")
    rows = lines(count, names=names)
    enter(
        engine, lines(count, as_of=MONDAY - timedelta(days=7), seed=2), MONDAY - timedelta(days=7)
    )
    enter(engine, rows)
    settings = Settings(web=dict(web or {}), webhooks=dict(webhooks or {}), base=folder)
    made = app.create_app(settings, engine, clock=lambda: NOW, webhooks=hooks)
    with (
        serving(made) as at,
        httpx.Client(base_url=at, timeout=30) as browser,
        ExitStack() as opened,
    ):
        yield Office(engine, rows, settings, browser, opened)
    engine.dispose()


@contextmanager
def serving(made: FastAPI) -> Iterator[str]:
    """A real server of the page on a free port, as the command runs it."""
    with uvicorn_server.bind_socket("127.0.0.1", 0) as (taken, url):
        running = uvicorn.Server(uvicorn_server.build_config(made))
        thread = threading.Thread(target=running.run, args=([taken],), daemon=True)
        thread.start()
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield url
        running.should_exit = True
        thread.join(10)


def raised(
    engine: sa.Engine, account_id: str, *, level: str, at: date, closed: date | None = None
) -> None:
    """Put down a signal as the watcher does."""
    told: dict[str, Any] = {"used": 9.0, "of": 10.0, "before": 6.0, "level": level}
    moments = {"opened_at": at, "level_at": at, "closed_at": closed}
    told |= {
        name: day and datetime.combine(day, datetime.min.time(), UTC)
        for name, day in moments.items()
    }
    told |= {"limit": "seats", "number": 1, "ending": "relieved" if closed else None}
    with store.write_transaction(engine) as connection:
        connection.execute(sa.insert(ALERTS).values(account_id=account_id, **told))


def seal_of(page: str) -> dict[str, str]:
    """What the answer form of a page carries hidden."""
    return {
        name: re.findall(f'name="{name}" value="([^"]*)"', page)[0] for name in ("seal", "once")
    }


def answered(browser: httpx.Client, account_id: str, **said: str) -> httpx.Response:
    """Load an account, and send its form."""
    page = browser.get("/account", params={"id": account_id}).text
    return browser.post("/account", params={"id": account_id}, data={**seal_of(page), **said})
