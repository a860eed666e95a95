"""Synthetic desired objects from a seed, inserted without the code under test."""

import random
from collections.abc import Iterator
from datetime import timedelta

import sqlalchemy as sa

from tests.fakes.desired_objects import (
    FIRST_MONDAY,
    DesiredRow,
    build_row,
    replace_desired_objects,
)


def generate_desired(accounts: int, week: int = 0, seed: int = 7) -> Iterator[DesiredRow]:
    """Yield every desired object of a week: numbers change, due dates of tasks do not.

    One account in eight has an opportunity and a task, one in eight a task alone.
    """
    draw = random.Random(f"{seed} {week}")  # noqa: S311
    for rank in range(1, accounts + 1):
        account = f"acc_{rank:05}"
        fields = {
            "as_of": str(FIRST_MONDAY + timedelta(weeks=week)),
            "rank": rank,
            "probability": round(draw.random(), 3),
            "tier": 1 + rank % 8 if rank % 8 < 2 else None,
            "signals": f"{draw.randrange(90)} people\n“{draw.randrange(90)}” more, 50 %",
            "note": None,
        }
        yield build_row("account", account, account, rank, fields)
        if rank % 8 > 1:
            continue
        key = f"{account}:seats:1"
        if rank % 8 == 0:
            opportunity = {
                "name": f"{account}: more seats",
                "state": "open",
                "amount": draw.randrange(9000),
            }
            yield build_row("opportunity", key, account, rank, opportunity)
        task = {"subject": "talk to the buyer", "state": "open", "due_date": str(FIRST_MONDAY)}
        yield build_row("task", f"{key}:talk", account, rank, task)


def save_desired(
    engine: sa.Engine, target: str, accounts: int, week: int = 0, seed: int = 7
) -> None:
    """Replace the desired objects by those of a week."""
    replace_desired_objects(engine, target, generate_desired(accounts, week, seed), week)
