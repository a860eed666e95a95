"""Load the digests of a list from the application database."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from serving import store
from serving.notify.digest import content
from serving.notify.digest.content import Digest
from serving.store.schema import RUNS, SCORES

if TYPE_CHECKING:
    from data.config.settings import Settings

__all__ = ["load_digests", "load_latest_list_date"]

_COLUMNS: Final = (
    *("account_id", "name", "csm", "rank", "portfolio_rank", "in_weekly_capacity"),
    *("outreach_allowed", "probability", "readiness_date", "limit", "motion", "contact_role"),
    *("signals", "changes", "counter_reasons", "note"),
)


def load_latest_list_date(engine: sa.Engine) -> date | None:
    """Return the as-of of the active list, or None before the first."""
    with store.read_transaction(engine) as connection:
        latest: date | None = connection.scalar(sa.select(sa.func.max(SCORES.c.as_of)))
    return latest


def load_digests(engine: sa.Engine, settings: Settings, as_of: date, today: date) -> list[Digest]:
    """Load the digest of every CSM on a list."""
    return content.build_digests(
        _load_rows(engine, as_of),
        _load_previous_motions(engine, as_of),
        as_of=as_of,
        today=today,
        horizon_days=settings.outcome.horizon_days,
        basis=_load_ranking_basis(engine, as_of),
        link=settings.digest.link,
        max_accounts=settings.digest.accounts,
    )


def _load_rows(engine: sa.Engine, as_of: date) -> list[dict[str, Any]]:
    """Load every row of a list, by rank; unranked rows come last."""
    columns = [SCORES.c[name] for name in _COLUMNS]
    query = sa.select(*columns).where(SCORES.c.as_of == as_of)
    return _fetch_rows(engine, query.order_by(SCORES.c.rank.nulls_last(), SCORES.c.account_id))


def _load_previous_motions(engine: sa.Engine, as_of: date) -> list[dict[str, Any]]:
    """Load account and motion of the previous list; empty where there was none."""
    last = sa.select(sa.func.max(SCORES.c.as_of)).where(SCORES.c.as_of < as_of).scalar_subquery()
    query = sa.select(SCORES.c.account_id, SCORES.c.motion).where(SCORES.c.as_of == last)
    return _fetch_rows(engine, query.order_by(SCORES.c.account_id))


def _load_ranking_basis(engine: sa.Engine, as_of: date) -> str:
    """Load the ranking criterion of a list; empty for a model that passed the gate."""
    query = sa.select(RUNS.c.record).where(RUNS.c.as_of == as_of).order_by(RUNS.c.id.desc())
    with store.read_transaction(engine) as connection:
        record = connection.scalar(query.limit(1)) or {}
    basis = str(record.get("basis", ""))
    return "" if basis.startswith("by model version") and "," not in basis else basis


def _fetch_rows(engine: sa.Engine, query: sa.Select[Any]) -> list[dict[str, Any]]:
    with store.read_transaction(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
