"""Desired objects from a seed, written to the database without the code under test."""

import hashlib
import json
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from serving.delivery.crm.base import KINDS, Fields, Kind
from serving.store.schema import DESIRED_OBJECTS

FIRST_MONDAY = date(2026, 6, 1)


def build_desired_objects(accounts: int, week: int = 0, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Build the desired objects of a week: values change, opportunities and tasks do not.

    One account in eight has an opportunity and a task, one in eight a task only.
    """
    rng = random.Random(f"{seed} {week}")  # noqa: S311 - made up, not secret
    for number in range(1, accounts + 1):
        account = f"acc_{number:05}"
        yield _row(
            "account", account, account, None, number, _account_fields(rng, account, number, week)
        )
        key = f"{account}:seats:1"
        if number % 8 == 0:
            yield _row(
                "opportunity", key, account, "seats", number, _deal_fields(rng, account, key)
            )
        if number % 8 < 2:
            yield _row("task", f"{key}:talk", account, "seats", number, _task_fields(account, key))


def replace_desired_objects(
    engine: sa.Engine, accounts: int, week: int = 0, seed: int = 7
) -> list[dict[str, Any]]:
    """Replace the desired objects by those of a week."""
    as_of = FIRST_MONDAY + timedelta(weeks=week)
    rows = [
        {**row, "target": "hubspot", "run_id": week + 1, "as_of": as_of}
        for row in build_desired_objects(accounts, week, seed)
    ]
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.delete(DESIRED_OBJECTS))
        connection.execute(sa.insert(DESIRED_OBJECTS), rows)
    return rows


def count_by_kind(rows: list[dict[str, Any]]) -> dict[Kind, int]:
    return {kind: sum(row["kind"] == kind for row in rows) for kind in KINDS}


def _account_fields(rng: random.Random, account: str, number: int, week: int) -> Fields:
    tier = 1 + number % 8 if number % 8 < 2 else None
    day = str(FIRST_MONDAY + timedelta(weeks=week, days=rng.randrange(60)))
    return {
        "name": f"Company {account}",
        "csm": f"csm{number % 7}@acme.com",
        "as_of": str(FIRST_MONDAY + timedelta(weeks=week)),
        "rank": number,
        "portfolio_rank": 1 + number // 7,
        "in_weekly_capacity": rng.random() < 0.2,
        "expansion_signal": f"seats: tier {tier}" if tier else None,
        "probability": round(rng.random(), 3),
        "low": round(rng.random() / 2, 3),
        "high": round(0.5 + rng.random() / 2, 3),
        "band": "40% and more",
        "band_track_record": "6 of 10 accounts in this band expanded",
        "readiness_date": day,
        "expected_date": day,
        "expected_early": day,
        "expected_late": day,
        "probability_180d": round(rng.random(), 3),
        "expected_arr": float(rng.randrange(90_000)),
        "churn_probability": round(rng.random() / 9, 3),
        "limit": "seats" if tier else "none",
        "tier": tier,
        "motion": "seat add",
        "contact_role": "department head",
        "outreach_allowed": True,
        "signals": f"{rng.randrange(90)} people < 100\n“{rng.randrange(90)}” more, 50 % & rising",
        "counter_reasons": None,
        "changes": f"was {rng.randrange(90)}",
        "active_seats": rng.randrange(500),
        "licensed_seats": 500,
        "seat_utilization": round(rng.random(), 3),
        "model": "7",
        "note": None,
    }


def _deal_fields(rng: random.Random, account: str, key: str) -> Fields:
    return {
        "name": f"{account}: more seats",
        "state": "open",
        "probability": round(rng.random(), 3),
        "amount": float(rng.randrange(90_000)),
        "expected_close_date": str(FIRST_MONDAY + timedelta(days=rng.randrange(90))),
        "readiness_date": None,
        "limit": "seats",
        "motion": "seat add",
        "contact_role": "department head",
        "signals": f"{rng.randrange(90)} people\nmore",
        "episode": key,
    }


def _task_fields(account: str, key: str) -> Fields:
    return {
        "subject": f"{account}: talk to the buyer",
        "state": "open",
        "due_date": str(FIRST_MONDAY + timedelta(days=14)),
        "notes": "9 people < 10\nit's “more”",
        "motion": "seat add",
        "episode": key,
    }


def _row(  # noqa: PLR0917
    kind: Kind, key: str, account: str, limit: str | None, number: int, fields: Fields
) -> dict[str, Any]:
    payload = json.dumps(fields, sort_keys=True)
    return {
        "kind": kind,
        "key": key,
        "account_id": account,
        "limit": limit,
        "priority": number,
        "fields": fields,
        "content_hash": hashlib.sha256(payload.encode()).hexdigest(),
    }
