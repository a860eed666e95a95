"""Queries on stored lists, for `expansion show`, the digest and the next scoring run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from serving.store.engine import fetch_rows, read_transaction
from serving.store.schema import ACCOUNT_TOUCHES, FEEDBACK, RUNS, SCORES

__all__ = [
    "is_on_previous_list",
    "load_account",
    "load_last_run",
    "load_latest_as_of",
    "load_list_rows",
    "load_previous_list",
    "load_recent_touches",
    "load_run_record",
    "load_score_history",
    "load_snoozes",
    "select_latest_as_of",
]

_LATEST_AS_OF: Final = sa.select(sa.func.max(RUNS.c.as_of))
_IS_ACTIVE: Final = SCORES.c.as_of == _LATEST_AS_OF.scalar_subquery()
# Columns that the next list is compared with.
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
    """Return the as-of of the active list, or None before the first run."""
    with read_transaction(engine) as connection:
        return select_latest_as_of(connection)


def select_latest_as_of(connection: sa.Connection) -> date | None:
    """Return the as-of of the active list, within the caller's transaction."""
    latest: date | None = connection.scalar(_LATEST_AS_OF)
    return latest


def load_list_rows(engine: sa.Engine) -> list[dict[str, Any]]:
    """Load every account on the active list, by rank."""
    query = sa.select(SCORES).where(SCORES.c.rank.is_not(None), _IS_ACTIVE)
    return fetch_rows(engine, query.order_by(SCORES.c.rank))


def load_account(engine: sa.Engine, name: str) -> dict[str, Any] | None:
    """Load one account of the active list, by id or name, or None.

    An account that is not on the list has only the reason in ``note``.
    """
    by_id, by_name = SCORES.c.account_id == name, SCORES.c.name == name
    any_case = sa.func.lower(SCORES.c.name) == name.lower()
    # A name may equal another account's id. SQLite lowercases ASCII letters only.
    closest = sa.case((by_id, 0), (by_name, 1), else_=2)
    query = (
        sa.select(SCORES)
        .where(_IS_ACTIVE, sa.or_(by_id, by_name, any_case))
        .order_by(closest, SCORES.c.account_id)
        .limit(1)
    )
    matches = fetch_rows(engine, query)
    return matches[0] if matches else None


def load_score_history(engine: sa.Engine, account_id: str) -> list[dict[str, Any]]:
    """Load rank and probability of an account on each of its lists, oldest first."""
    query = (
        sa.select(SCORES.c.as_of, SCORES.c.rank, SCORES.c.probability)
        .where(SCORES.c.account_id == account_id, SCORES.c.rank.is_not(None))
        .order_by(SCORES.c.as_of)
    )
    return fetch_rows(engine, query)


def is_on_previous_list(as_of: date) -> sa.ColumnElement[bool]:
    """Return the condition that a score belongs to the last list before an as-of."""
    last = sa.select(sa.func.max(SCORES.c.as_of)).where(SCORES.c.as_of < as_of)
    return SCORES.c.as_of == last.scalar_subquery()


def load_previous_list(engine: sa.Engine, as_of: date) -> pl.DataFrame | None:
    """Load the accounts of the last list before an as-of, to compare with; None without one."""
    columns = [SCORES.c[name] for name in _PREVIOUS_LIST_SCHEMA]
    query = sa.select(*columns).where(is_on_previous_list(as_of), SCORES.c.rank.is_not(None))
    rows = fetch_rows(engine, query.order_by(SCORES.c.rank))
    return pl.DataFrame(rows, schema=_PREVIOUS_LIST_SCHEMA) if rows else None


def load_recent_touches(engine: sa.Engine, as_of: date, *, days: int) -> Mapping[str, date]:
    """Return account → last day of human CRM activity, within ``days`` before an as-of."""
    query = (
        sa.select(
            ACCOUNT_TOUCHES.c.account_id, sa.func.max(ACCOUNT_TOUCHES.c.touched_on).label("day")
        )
        .where(
            ACCOUNT_TOUCHES.c.touched_on < as_of,
            ACCOUNT_TOUCHES.c.touched_on >= as_of - timedelta(days=days),
        )
        .group_by(ACCOUNT_TOUCHES.c.account_id)
    )
    return {row["account_id"]: row["day"] for row in fetch_rows(engine, query)}


def load_snoozes(engine: sa.Engine, as_of: date) -> Mapping[str, date]:
    """Return account → the day until which a human snoozed it, as known before an as-of.

    The latest feedback wins.
    """
    midnight = datetime.combine(as_of, time(), UTC)
    latest_feedback = sa.select(sa.func.max(FEEDBACK.c.id)).where(FEEDBACK.c.created_at < midnight)
    query = sa.select(FEEDBACK.c.account_id, FEEDBACK.c.snoozed_until).where(
        FEEDBACK.c.id.in_(latest_feedback.group_by(FEEDBACK.c.account_id)),
        FEEDBACK.c.snoozed_until > as_of,
    )
    return {row["account_id"]: row["snoozed_until"] for row in fetch_rows(engine, query)}


def load_last_run(engine: sa.Engine, as_of: date | None = None) -> dict[str, Any] | None:
    """Load the last run, overall or of one as-of; None where there is none."""
    query = sa.select(RUNS).order_by(RUNS.c.id.desc()).limit(1)
    if as_of is not None:
        query = query.where(RUNS.c.as_of == as_of)
    runs = fetch_rows(engine, query)
    return runs[0] if runs else None


def load_run_record(engine: sa.Engine, as_of: date) -> Mapping[str, Any]:
    """Load the record of the last run of an as-of; empty where there is none.

    See :func:`serving.scoring.run_record.build_run_record`.
    """
    run = load_last_run(engine, as_of)
    return run["record"] if run else {}
