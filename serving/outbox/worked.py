"""Bring home from the CRM which accounts humans have dealt with."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from serving import state
from serving.crm.target import Target
from serving.outbox.calls import Calls
from serving.outbox.upsert import insert_or_skip
from serving.state.schema import SENDS, WORKED

__all__ = ["pull"]

_FIRST_LOOK: Final = timedelta(days=90)
_OVERLAP: Final = timedelta(days=2)  # a day is over everywhere on Earth


def pull(engine: sa.Engine, target: Target, call: Calls, now: datetime) -> int:
    """Ask who was dealt with since the last look, and keep it; give how many are new.

    Raises
    ------
    serving.outbox.calls.Exhausted, serving.outbox.calls.OutOfTime
        If the target does not answer.
    """
    last = _last_look(engine, target.name)
    since = (last - _OVERLAP if last else now - _FIRST_LOOK).date()
    found = call(target.worked, since)
    with state.writing(engine) as connection:
        return sum(
            insert_or_skip(
                connection,
                WORKED,
                {"account_id": each.account_id, "worked_on": each.on, "how": each.how},
            )
            for each in found
        )


def _last_look(engine: sa.Engine, target: str) -> datetime | None:
    """When a sending began that the CRM has told who was dealt with."""
    query = sa.select(SENDS.c.started_at, SENDS.c.counts).where(SENDS.c.target == target)
    with state.reading(engine) as connection:
        for row in connection.execute(query.order_by(SENDS.c.id.desc())):
            if row.counts.get("worked") is not None:
                told: datetime = row.started_at
                return told
    return None
