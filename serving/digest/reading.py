"""The lists of the state database, as far as a digest tells of them."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from serving import state
from serving.state.schema import RUNS, SCORES

__all__ = ["basis", "before", "lines", "newest"]

_READ: Final = (
    *("account_id", "name", "csm", "rank", "book_rank", "this_week", "ask", "probability"),
    *("readiness_date", "limit", "motion", "buyer", "signals", "changed", "holds_back", "note"),
)


def newest(engine: sa.Engine) -> date | None:
    """As-of of the list in force, or None before the first."""
    with state.reading(engine) as connection:
        found: date | None = connection.scalar(sa.select(sa.func.max(SCORES.c.as_of)))
    return found


def lines(engine: sa.Engine, as_of: date) -> list[dict[str, Any]]:
    """Every line of a list, by rank; those that have none, last."""
    columns = [SCORES.c[name] for name in _READ]
    query = sa.select(*columns).where(SCORES.c.as_of == as_of)
    return _rows(engine, query.order_by(SCORES.c.rank.nulls_last(), SCORES.c.account_id))


def before(engine: sa.Engine, as_of: date) -> list[dict[str, Any]]:
    """Account and motion on the list before; none where there was no list."""
    last = sa.select(sa.func.max(SCORES.c.as_of)).where(SCORES.c.as_of < as_of).scalar_subquery()
    query = sa.select(SCORES.c.account_id, SCORES.c.motion).where(SCORES.c.as_of == last)
    return _rows(engine, query.order_by(SCORES.c.account_id))


def basis(engine: sa.Engine, as_of: date) -> str:
    """By what the accounts of a list are ranked, where that is not just a model that passed."""
    query = sa.select(RUNS.c.record).where(RUNS.c.as_of == as_of).order_by(RUNS.c.id.desc())
    with state.reading(engine) as connection:
        record = connection.scalar(query.limit(1)) or {}
    told = str(record.get("basis", ""))
    return "" if told.startswith("by model version") and "," not in told else told


def _rows(engine: sa.Engine, query: sa.Select[Any]) -> list[dict[str, Any]]:
    with state.reading(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
