"""Outboxes made up from a seed, put into the database without the code that is on trial."""

import hashlib
import json
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from serving.delivery.crm.base import KINDS, Fields, Kind
from serving.store.schema import DESIRED_OBJECTS

FIRST = date(2026, 6, 1)


def wanted(accounts: int, week: int = 0, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Every object as it should be in a week: figures move, what is to be done does not.

    One account in eight has an opportunity and a task, one in eight a task alone.
    """
    draw = random.Random(f"{seed} {week}")  # noqa: S311 - made up, not secret
    for place in range(1, accounts + 1):
        account = f"acc_{place:05}"
        yield _row("account", account, account, None, place, _account(draw, account, place, week))
        key = f"{account}:seats:1"
        if place % 8 == 0:
            yield _row("opportunity", key, account, "seats", place, _deal(draw, account, key))
        if place % 8 < 2:
            yield _row("task", f"{key}:talk", account, "seats", place, _task(account, key))


def put(engine: sa.Engine, accounts: int, week: int = 0, seed: int = 7) -> list[dict[str, Any]]:
    """Put a week's objects into the outbox, in place of those before."""
    as_of = FIRST + timedelta(weeks=week)
    rows = [
        {**row, "target": "hubspot", "run_id": week + 1, "as_of": as_of}
        for row in wanted(accounts, week, seed)
    ]
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.delete(DESIRED_OBJECTS))
        connection.execute(sa.insert(DESIRED_OBJECTS), rows)
    return rows


def count(rows: list[dict[str, Any]]) -> dict[Kind, int]:
    return {kind: sum(row["kind"] == kind for row in rows) for kind in KINDS}


def _account(draw: random.Random, account: str, place: int, week: int) -> Fields:
    tier = 1 + place % 8 if place % 8 < 2 else None
    day = str(FIRST + timedelta(weeks=week, days=draw.randrange(60)))
    return {
        "name": f"Company {account}",
        "csm": f"csm{place % 7}@acme.com",
        "as_of": str(FIRST + timedelta(weeks=week)),
        "rank": place,
        "book_rank": 1 + place // 7,
        "this_week": draw.random() < 0.2,
        "expansion_signal": f"seats: tier {tier}" if tier else None,
        "probability": round(draw.random(), 3),
        "low": round(draw.random() / 2, 3),
        "high": round(0.5 + draw.random() / 2, 3),
        "band": "40% and more",
        "band_told": "6 of 10 accounts in this band expanded",
        "readiness_date": day,
        "expected_date": day,
        "expected_early": day,
        "expected_late": day,
        "probability_180d": round(draw.random(), 3),
        "expected_arr": float(draw.randrange(90_000)),
        "churn_probability": round(draw.random() / 9, 3),
        "limit": "seats" if tier else "none",
        "tier": tier,
        "motion": "seat add",
        "buyer": "department head",
        "ask": True,
        "signals": f"{draw.randrange(90)} people < 100\n“{draw.randrange(90)}” more, 50 % & rising",
        "holds_back": None,
        "changed": f"was {draw.randrange(90)}",
        "active_seats": draw.randrange(500),
        "licensed_seats": 500,
        "seat_utilization": round(draw.random(), 3),
        "model": "7",
        "note": None,
    }


def _deal(draw: random.Random, account: str, key: str) -> Fields:
    return {
        "name": f"{account}: more seats",
        "state": "open",
        "probability": round(draw.random(), 3),
        "amount": float(draw.randrange(90_000)),
        "expected_close_date": str(FIRST + timedelta(days=draw.randrange(90))),
        "readiness_date": None,
        "limit": "seats",
        "motion": "seat add",
        "buyer": "department head",
        "signals": f"{draw.randrange(90)} people\nmore",
        "episode": key,
    }


def _task(account: str, key: str) -> Fields:
    return {
        "subject": f"{account}: talk to the buyer",
        "state": "open",
        "due_date": str(FIRST + timedelta(days=14)),
        "notes": "9 people < 10\nit's “more”",
        "motion": "seat add",
        "episode": key,
    }


def _row(  # noqa: PLR0917
    kind: Kind, key: str, account: str, limit: str | None, place: int, fields: Fields
) -> dict[str, Any]:
    told = json.dumps(fields, sort_keys=True)
    return {
        "kind": kind,
        "key": key,
        "account_id": account,
        "limit": limit,
        "place": place,
        "fields": fields,
        "digest": hashlib.sha256(told.encode()).hexdigest(),
    }
