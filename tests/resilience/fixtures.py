"""Synthetic desired objects from a seed, inserted without the code under test."""

import hashlib
import json
import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from serving.store.schema import DESIRED_OBJECTS

FIRST = date(2026, 6, 1)


def generate_desired(accounts: int, week: int = 0, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Yield every desired object of a week: numbers change, due dates of tasks do not.

    One account in eight has an opportunity and a task, one in eight a task alone.
    """
    draw = random.Random(f"{seed} {week}")  # noqa: S311
    for rank in range(1, accounts + 1):
        account = f"acc_{rank:05}"
        fields = {
            "as_of": str(FIRST + timedelta(weeks=week)),
            "rank": rank,
            "probability": round(draw.random(), 3),
            "tier": 1 + rank % 8 if rank % 8 < 2 else None,
            "signals": f"{draw.randrange(90)} people\n“{draw.randrange(90)}” more, 50 %",
            "note": None,
        }
        yield _build_row("account", account, account, None, rank, fields)
        if rank % 8 > 1:
            continue
        key = f"{account}:seats:1"
        if rank % 8 == 0:
            opportunity = {
                "name": f"{account}: more seats",
                "state": "open",
                "amount": draw.randrange(9000),
            }
            yield _build_row("opportunity", key, account, "seats", rank, opportunity)
        task = {"subject": "talk to the buyer", "state": "open", "due_date": str(FIRST)}
        yield _build_row("task", f"{key}:talk", account, "seats", rank, task)


def save_desired(
    engine: sa.Engine, target: str, accounts: int, week: int = 0, seed: int = 7
) -> None:
    """Replace the desired objects by those of a week."""
    rows = [
        {**row, "target": target, "run_id": week + 1, "as_of": FIRST + timedelta(weeks=week)}
        for row in generate_desired(accounts, week, seed)
    ]
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.delete(DESIRED_OBJECTS).where(DESIRED_OBJECTS.c.target == target))
        connection.execute(sa.insert(DESIRED_OBJECTS), rows)


def _build_row(  # noqa: PLR0917
    kind: str, key: str, account: str, limit: str | None, rank: int, fields: dict[str, Any]
) -> dict[str, Any]:
    encoded = json.dumps(fields, sort_keys=True).encode()
    return {
        "kind": kind,
        "key": key,
        "account_id": account,
        "limit": limit,
        "priority": rank,
        "fields": fields,
        "content_hash": hashlib.sha256(encoded).hexdigest(),
    }
