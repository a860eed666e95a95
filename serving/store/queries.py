"""The lists as they were written: what `expansion show`, the digest and the next list read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from serving.store.engine import read_transaction
from serving.store.schema import ACCOUNT_TOUCHES, FEEDBACK, RUNS, SCORES

__all__ = [
    "load_account",
    "load_last_run",
    "load_latest_as_of",
    "load_list_rows",
    "load_previous_list",
    "load_recent_touches",
    "load_score_history",
    "load_snoozes",
]

_LATEST_AS_OF: Final = sa.select(sa.func.max(RUNS.c.as_of))
# What the next list says a change against.
_PREVIOUS_LIST_SCHEMA: Final = {
    "account_id": pl.String,
    "as_of": pl.Date,
    "rank": pl.Int64,
    "probability": pl.Float64,
    "tier": pl.Int64,
    "limit": pl.String,
    "readiness_date": pl.Date,
}


def load_latest_as_of(engine: sa.Engine) -> date | None:
    """As-of of the list that is in force, or None before the first run."""
    with read_transaction(engine) as connection:
        latest: date | None = connection.scalar(_LATEST_AS_OF)
    return latest


def load_list_rows(engine: sa.Engine, as_of: date | None = None) -> list[dict[str, Any]]:
    """Every account on a list, by rank; on the list in force where no as-of is given."""
    query = sa.select(SCORES).where(
        SCORES.c.rank.is_not(None), SCORES.c.as_of == _as_of_or_latest(as_of)
    )
    return _fetch_rows(engine, query.order_by(SCORES.c.rank))


def load_account(engine: sa.Engine, name: str) -> dict[str, Any] | None:
    """One account in full on the list in force, by its id or its name, or None.

    One that is not on the list has no figures, but the reason in ``note``.
    """
    by_id, by_name = SCORES.c.account_id == name, SCORES.c.name == name
    any_case = sa.func.lower(SCORES.c.name) == name.lower()
    # A name may be another account's id, and SQLite lowers A to Z only.
    closest = sa.case((by_id, 0), (by_name, 1), else_=2)
    query = (
        sa.select(SCORES)
        .where(SCORES.c.as_of == _as_of_or_latest(None), sa.or_(by_id, by_name, any_case))
        .order_by(closest, SCORES.c.account_id)
        .limit(1)
    )
    matches = _fetch_rows(engine, query)
    return matches[0] if matches else None


def load_score_history(engine: sa.Engine, account_id: str) -> list[dict[str, Any]]:
    """Rank and probability of an account on every list it was on, oldest first."""
    query = (
        sa.select(SCORES.c.as_of, SCORES.c.rank, SCORES.c.probability)
        .where(SCORES.c.account_id == account_id, SCORES.c.rank.is_not(None))
        .order_by(SCORES.c.as_of)
    )
    return _fetch_rows(engine, query)


def load_previous_list(engine: sa.Engine, as_of: date) -> pl.DataFrame | None:
    """Give the last list before an as-of, for what has changed since; None where there is none.

    Returns
    -------
    polars.DataFrame or None
        ``account_id``, ``as_of``, ``rank``, ``probability``, ``tier``, ``limit``,
        ``readiness_date`` of every account that was on it.
    """
    columns = [SCORES.c[name] for name in _PREVIOUS_LIST_SCHEMA]
    last = sa.select(sa.func.max(SCORES.c.as_of)).where(SCORES.c.as_of < as_of).scalar_subquery()
    query = sa.select(*columns).where(SCORES.c.as_of == last, SCORES.c.rank.is_not(None))
    rows = _fetch_rows(engine, query.order_by(SCORES.c.rank))
    return pl.DataFrame(rows, schema=_PREVIOUS_LIST_SCHEMA) if rows else None


def load_recent_touches(engine: sa.Engine, as_of: date, *, days: int) -> Mapping[str, date]:
    """Account → the last day that a human dealt with it, of so many days before an as-of."""
    query = (
        sa.select(
            ACCOUNT_TOUCHES.c.account_id, sa.func.max(ACCOUNT_TOUCHES.c.worked_on).label("day")
        )
        .where(
            ACCOUNT_TOUCHES.c.worked_on < as_of,
            ACCOUNT_TOUCHES.c.worked_on >= as_of - timedelta(days=days),
        )
        .group_by(ACCOUNT_TOUCHES.c.account_id)
    )
    return {row["account_id"]: row["day"] for row in _fetch_rows(engine, query)}


def load_snoozes(engine: sa.Engine, as_of: date) -> Mapping[str, date]:
    """Account → the day until which a human said, before an as-of, that it is not to be asked.

    Of several answers the last holds.
    """
    midnight = datetime.combine(as_of, time(), UTC)
    latest_feedback = sa.select(sa.func.max(FEEDBACK.c.id)).where(FEEDBACK.c.given_at < midnight)
    query = sa.select(FEEDBACK.c.account_id, FEEDBACK.c.until).where(
        FEEDBACK.c.id.in_(latest_feedback.group_by(FEEDBACK.c.account_id)), FEEDBACK.c.until > as_of
    )
    return {row["account_id"]: row["until"] for row in _fetch_rows(engine, query)}


def load_last_run(engine: sa.Engine, as_of: date | None = None) -> dict[str, Any] | None:
    """The record of the last run, of all or of one as-of; None where there was none."""
    query = sa.select(RUNS).order_by(RUNS.c.id.desc()).limit(1)
    if as_of is not None:
        query = query.where(RUNS.c.as_of == as_of)
    runs = _fetch_rows(engine, query)
    return runs[0] if runs else None


def _as_of_or_latest(as_of: date | None) -> Any:  # noqa: ANN401 - a day, or the query of one
    return _LATEST_AS_OF.scalar_subquery() if as_of is None else as_of


def _fetch_rows(engine: sa.Engine, query: sa.Select[Any]) -> list[dict[str, Any]]:
    with read_transaction(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
