"""Outboxes made up from a seed, put into the database without the code that is on trial."""

import hashlib
import json
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from serving.store.schema import DESIRED_OBJECTS

FIRST = date(2026, 6, 1)


def wanted(accounts: int, week: int = 0, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Every object as it should be in a week: figures move, dates of tasks do not.

    One account in eight has an opportunity and a task, one in eight a task alone.
    """
    draw = random.Random(f"{seed} {week}")  # noqa: S311
    for place in range(1, accounts + 1):
        account = f"acc_{place:05}"
        told = {
            "as_of": str(FIRST + timedelta(weeks=week)),
            "rank": place,
            "probability": round(draw.random(), 3),
            "tier": 1 + place % 8 if place % 8 < 2 else None,
            "signals": f"{draw.randrange(90)} people\n“{draw.randrange(90)}” more, 50 %",
            "note": None,
        }
        yield _row("account", account, account, None, place, told)
        if place % 8 > 1:
            continue
        key = f"{account}:seats:1"
        if place % 8 == 0:
            deal = {
                "name": f"{account}: more seats",
                "state": "open",
                "amount": draw.randrange(9000),
            }
            yield _row("opportunity", key, account, "seats", place, deal)
        task = {"subject": "talk to the buyer", "state": "open", "due_date": str(FIRST)}
        yield _row("task", f"{key}:talk", account, "seats", place, task)


def put(engine: sa.Engine, target: str, accounts: int, week: int = 0, seed: int = 7) -> None:
    """Put a week's objects into the outbox, in place of those before."""
    rows = [
        {**row, "target": target, "run_id": week + 1, "as_of": FIRST + timedelta(weeks=week)}
        for row in wanted(accounts, week, seed)
    ]
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.delete(DESIRED_OBJECTS).where(DESIRED_OBJECTS.c.target == target))
        connection.execute(sa.insert(DESIRED_OBJECTS), rows)


def _row(  # noqa: PLR0917
    kind: str, key: str, account: str, limit: str | None, place: int, fields: dict[str, Any]
) -> dict[str, Any]:
    told = json.dumps(fields, sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()
    return {
        "kind": kind,
        "key": key,
        "account_id": account,
        "limit": limit,
        "place": place,
        "fields": fields,
        "digest": digest,
    }
