"""What is stored about the accounts before a list: earlier lists, CRM activity and snoozes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from serving.store import queries
from serving.store.engine import read_transaction
from serving.store.event_schema import ALERTS
from serving.store.schema import RUNS, SCORES

__all__ = ["ListHistory", "load_last_communicated_dates", "load_list_history"]

# An account may be missing from a list or two because of a bad export.
_LOOKBACK: Final = timedelta(weeks=4)
_SCHEMA: Final = {
    "account_id": pl.String,
    "as_of": pl.Date,
    "band": pl.String,
    "tier": pl.Int64,
    "readiness_date": pl.Date,
}


@dataclass(frozen=True)
class ListHistory:
    """What is stored about the accounts before a list; empty before the first one.

    Attributes
    ----------
    previous_list : polars.DataFrame or None
        The list before, for the changes; see
        :func:`serving.scoring.text.changes.describe_changes` for its columns.
    previous_dates : polars.DataFrame or None
        The last communicated readiness dates (:func:`load_last_communicated_dates`), which are
        held.
    recent_touches : mapping of str to datetime.date
        Account → the last day of CRM activity by a human.
    snoozed_until : mapping of str to datetime.date
        Account → the day until which a human snoozed it.
    """

    previous_list: pl.DataFrame | None = None
    previous_dates: pl.DataFrame | None = None
    recent_touches: Mapping[str, date] = field(default_factory=dict)
    snoozed_until: Mapping[str, date] = field(default_factory=dict)


def load_list_history(
    engine: sa.Engine, as_of: date, *, known_before: date, cooldown_days: int
) -> ListHistory:
    """Load the list before an as-of, and what became known before a day.

    ``known_before`` is the as-of of a list, or the midnight after an alert.
    """
    return ListHistory(
        queries.load_previous_list(engine, as_of),
        load_last_communicated_dates(engine, known_before),
        queries.load_recent_touches(engine, known_before, days=cooldown_days),
        queries.load_snoozes(engine, known_before),
    )


def load_last_communicated_dates(engine: sa.Engine, as_of: date) -> pl.DataFrame | None:
    """Load the date last communicated for each account before an as-of.

    A list scored after one with a later as-of was never active and is ignored. The as-of is the day
    of the list, or the midnight after an alert.

    Returns
    -------
    polars.DataFrame or None
        ``account_id``, ``as_of``, ``band``, ``tier`` and ``readiness_date`` of each account
        on a list of the last four weeks; the as-of of an alert is the midnight after it. None
        before the first list.
    """
    with read_transaction(engine) as connection:
        active_dates = [day for day in _find_active_lists(connection) if day < as_of]
        if not active_dates:
            return None
        recent_dates = [day for day in active_dates if day >= max(active_dates) - _LOOKBACK]
        # A list of the midnight after an alert already includes it, so it comes after.
        records = [
            *_load_alerted_dates(connection, min(recent_dates), as_of),
            *_load_listed_dates(connection, recent_dates),
        ]
    dates = pl.DataFrame(records, schema=_SCHEMA, orient="row")
    return dates.sort("as_of", maintain_order=True).unique(
        "account_id", keep="last", maintain_order=True
    )


def _find_active_lists(connection: sa.Connection) -> set[date]:
    """Return the as-of of each list that was the newest when it was last written."""
    active_dates: set[date] = set()
    newest = date.min
    for day in connection.scalars(sa.select(RUNS.c.as_of).order_by(RUNS.c.id)):
        newest = max(newest, day)
        (active_dates.add if day == newest else active_dates.discard)(day)
    return active_dates


def _load_listed_dates(connection: sa.Connection, days: list[date]) -> list[tuple[Any, ...]]:
    on_list = sa.and_(SCORES.c.as_of.in_(days), SCORES.c.rank.is_not(None))
    last = (
        sa.select(SCORES.c.account_id, sa.func.max(SCORES.c.as_of).label("day"))
        .where(on_list)
        .group_by(SCORES.c.account_id)
        .subquery()
    )
    is_last = sa.and_(SCORES.c.account_id == last.c.account_id, SCORES.c.as_of == last.c.day)
    query = sa.select(*(SCORES.c[name] for name in _SCHEMA)).join(last, is_last).where(on_list)
    return [tuple(row) for row in connection.execute(query.order_by(SCORES.c.rank))]


def _load_alerted_dates(
    connection: sa.Connection, since: date, as_of: date
) -> list[tuple[Any, ...]]:
    query = (
        sa.select(ALERTS.c.account_id, ALERTS.c.committed_at, ALERTS.c.list_row)
        .where(ALERTS.c.committed_at.is_not(None))
        .order_by(ALERTS.c.committed_at, ALERTS.c.account_id, ALERTS.c.limit)
    )
    records = []
    for account, committed_at, row in connection.execute(query):
        midnight = committed_at.date() + timedelta(days=1)
        if row and since < midnight <= as_of:
            ready = row["readiness_date"] and date.fromisoformat(row["readiness_date"])
            records.append((account, midnight, row["band"], row["tier"], ready))
    return records
