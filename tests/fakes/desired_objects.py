"""Desired objects from a seed, written to the database without the code under test."""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from serving.store.schema import DESIRED_OBJECTS

FIRST_MONDAY = date(2026, 6, 1)
CSMS = ("cleo@acme.example", "ivan@acme.example")
DesiredRow = dict[str, Any]


def build_row(
    kind: str, key: str, account: str, priority: int, fields: Mapping[str, Any]
) -> DesiredRow:
    """Build one desired object; opportunities and tasks are about seats."""
    encoded = json.dumps(fields, sort_keys=True).encode()
    return {
        "kind": kind,
        "key": key,
        "account_id": account,
        "limit": None if kind == "account" else "seats",
        "priority": priority,
        "fields": dict(fields),
        "content_hash": hashlib.sha256(encoded).hexdigest(),
    }


def replace_desired_objects(
    engine: sa.Engine, target: str, rows: Iterable[DesiredRow], week: int = 0
) -> list[DesiredRow]:
    """Replace the desired objects of a target by those of a week."""
    common = {"target": target, "run_id": week + 1, "as_of": FIRST_MONDAY + timedelta(weeks=week)}
    saved = [row | common for row in rows]
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.delete(DESIRED_OBJECTS).where(DESIRED_OBJECTS.c.target == target))
        connection.execute(sa.insert(DESIRED_OBJECTS), saved)
    return saved


def save_generated(
    engine: sa.Engine, target: str, accounts: int, week: int = 0
) -> list[DesiredRow]:
    """Replace the desired objects of a target by generated ones of a week."""
    return replace_desired_objects(engine, target, generate_desired(accounts, week), week)


def generate_desired(accounts: int, week: int = 0) -> Iterator[DesiredRow]:
    """Generate the desired objects of a week: account values change, due dates do not.

    One account in eight has an opportunity and a task, one in eight a task only.
    """
    rng = random.Random(f"7 {week}")  # noqa: S311 - made up, not secret
    for number in range(1, accounts + 1):
        account = f"acc_{number:05}"
        fields = _generate_account(rng, account, number, week)
        yield build_row("account", account, account, number, fields)
        key = f"{account}:seats:1"
        if number % 8 == 0:
            yield build_row(
                "opportunity", key, account, number, _generate_opportunity(rng, account, key)
            )
        if number % 8 < 2:
            task = {
                "subject": f"{account}: talk to the buyer",
                "state": "open",
                "due_date": str(FIRST_MONDAY + timedelta(days=14)),
                "notes": "9 people < 10\nit's “more”",
                "motion": "seat add",
                "episode": key,
            }
            yield build_row("task", f"{key}:talk", account, number, task)


def _generate_account(rng: random.Random, account: str, number: int, week: int) -> dict[str, Any]:
    tier = 1 + number % 8 if number % 8 < 2 else None
    day = str(FIRST_MONDAY + timedelta(weeks=week, days=rng.randrange(60)))
    return {
        "name": f"Company {account}",
        "csm": CSMS[number % len(CSMS)],
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
        "outreach_allowed": rng.choice([True, False, None]),
        "signals": f"{rng.randrange(90)} people < 100\n“{rng.randrange(90)}” more, 50 % & rising",
        "counter_reasons": None,
        "changes": f"was {rng.randrange(90)}",
        "active_seats": rng.randrange(500),
        "licensed_seats": 500,
        "seat_utilization": round(rng.random() * 1.4, 3),
        "model": "7",
        "note": None,
    }


def _generate_opportunity(rng: random.Random, account: str, key: str) -> dict[str, Any]:
    close_date = str(FIRST_MONDAY + timedelta(days=40))
    return {
        "name": f"{account}: more seats",
        "state": "open",
        "probability": round(rng.random(), 3),
        "amount": float(rng.randrange(9_000)),
        "expected_close_date": rng.choice([None, close_date]),
        "readiness_date": None,
        "limit": "seats",
        "motion": "seat add",
        "contact_role": "department head",
        "signals": f"{rng.randrange(90)} people\nmore",
        "episode": key,
    }
