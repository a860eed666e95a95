"""Human activity per account, pulled from the CRM."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from serving import store
from serving.delivery.crm.base import CrmTarget
from serving.delivery.reconcile.retry import RetryingCaller
from serving.store.schema import ACCOUNT_TOUCHES, SYNC_RUNS
from serving.store.upsert import insert_or_skip

__all__ = ["pull_human_touches"]

_INITIAL_LOOKBACK: Final = timedelta(days=90)
_OVERLAP: Final = timedelta(days=2)  # covers all time zones


def pull_human_touches(
    engine: sa.Engine, target: CrmTarget, call: RetryingCaller, now: datetime
) -> int:
    """Pull and store the human activity since the last pull; return how many touches are new.

    Raises
    ------
    serving.delivery.reconcile.retry.RetriesExhaustedError
        If the target fails at every attempt.
    serving.delivery.reconcile.retry.DeadlineExceededError
        If the target does not respond in time.
    """
    last_pull = _find_last_pull(engine, target.name)
    since = (last_pull - _OVERLAP if last_pull else now - _INITIAL_LOOKBACK).date()
    touches = call(target.fetch_human_touches, since)
    with store.write_transaction(engine) as connection:
        return sum(insert_or_skip(connection, ACCOUNT_TOUCHES, asdict(touch)) for touch in touches)


def _find_last_pull(engine: sa.Engine, target: str) -> datetime | None:
    """Return the start of the last sync run that pulled human activity."""
    query = sa.select(SYNC_RUNS.c.started_at, SYNC_RUNS.c.counts).where(
        SYNC_RUNS.c.target == target
    )
    with store.read_transaction(engine) as connection:
        for row in connection.execute(query.order_by(SYNC_RUNS.c.id.desc())):
            if row.counts.get("human_touches") is not None:
                started_at: datetime = row.started_at
                return started_at
    return None
