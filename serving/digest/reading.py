"""The digests of a list, from the state database."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from serving import state
from serving.digest import entries
from serving.digest.entries import Digest
from serving.state.schema import RUNS, SCORES

if TYPE_CHECKING:
    from data.settings import Settings

__all__ = ["digests", "newest"]

_READ: Final = (
    *("account_id", "name", "csm", "rank", "book_rank", "this_week", "ask", "probability"),
    *("readiness_date", "limit", "motion", "buyer", "signals", "changed", "holds_back", "note"),
)


def newest(engine: sa.Engine) -> date | None:
    """As-of of the list in force, or None before the first."""
    with state.reading(engine) as connection:
        found: date | None = connection.scalar(sa.select(sa.func.max(SCORES.c.as_of)))
    return found


def digests(engine: sa.Engine, settings: Settings, as_of: date, today: date) -> list[Digest]:
    """The digest of every CSM that a list names, to be told on a day."""
    return entries.digests(
        _lines(engine, as_of),
        _before(engine, as_of),
        as_of=as_of,
        today=today,
        horizon_days=settings.outcome.horizon_days,
        basis=_basis(engine, as_of),
        link=settings.digest.link,
        accounts=settings.digest.accounts,
    )


def _lines(engine: sa.Engine, as_of: date) -> list[dict[str, Any]]:
    """Every line of a list, by rank; those that have none, last."""
    columns = [SCORES.c[name] for name in _READ]
    query = sa.select(*columns).where(SCORES.c.as_of == as_of)
    return _rows(engine, query.order_by(SCORES.c.rank.nulls_last(), SCORES.c.account_id))


def _before(engine: sa.Engine, as_of: date) -> list[dict[str, Any]]:
    """Account and motion on the list before; none where there was no list."""
    last = sa.select(sa.func.max(SCORES.c.as_of)).where(SCORES.c.as_of < as_of).scalar_subquery()
    query = sa.select(SCORES.c.account_id, SCORES.c.motion).where(SCORES.c.as_of == last)
    return _rows(engine, query.order_by(SCORES.c.account_id))


def _basis(engine: sa.Engine, as_of: date) -> str:
    """By what the accounts of a list are ranked, where that is not just a model that passed."""
    query = sa.select(RUNS.c.record).where(RUNS.c.as_of == as_of).order_by(RUNS.c.id.desc())
    with state.reading(engine) as connection:
        record = connection.scalar(query.limit(1)) or {}
    told = str(record.get("basis", ""))
    return "" if told.startswith("by model version") and "," not in told else told


def _rows(engine: sa.Engine, query: sa.Select[Any]) -> list[dict[str, Any]]:
    with state.reading(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
