"""One account as a user may see it, with its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from serving.store import fetch_rows, read_transaction
from serving.store.schema import ACCOUNT_DETAILS, EPISODES, SCORES
from serving.web import feedback
from serving.web.auth import User
from serving.web.queries import alerts

__all__ = ["AccountView", "list_changed_terms", "list_named_terms", "load_account"]

_PAST_LISTS: Final = 26  # half a year of weekly lists
_TERM_COLUMNS: Final = ("plan", "seats", "usage_limit", "mrr", "status")
_PAST_COLUMNS: Final = ("as_of", "rank", "probability", "signals", "expansion_signal")


@dataclass(frozen=True, repr=False)
class AccountView:
    """Everything that the account page shows.

    ``row`` has ``serving.store.schema.SCORE_COLUMNS``; its ``note`` explains why an account is not
    listed. ``details`` are those of
    :func:`serving.scoring.account_details.build_account_details`, empty if not stored. ``past`` are
    the account's rows on the last lists, oldest first; episodes, alerts and feedback are newest
    first.
    """

    row: Mapping[str, Any]
    segment: str | None
    details: Mapping[str, Any]
    past: Sequence[Mapping[str, Any]]
    episodes: Sequence[Mapping[str, Any]]
    alerts: Sequence[Mapping[str, Any]]
    feedback: Sequence[Mapping[str, Any]]


def load_account(engine: sa.Engine, user: User, account_id: str, as_of: date) -> AccountView | None:
    """Load an account; None if it is not in the user's portfolio."""
    portfolio_filter = [] if user.csm is None else [SCORES.c.csm == user.csm]
    on_list = sa.select(SCORES).where(
        SCORES.c.account_id == account_id, SCORES.c.as_of == as_of, *portfolio_filter
    )
    stored_details = sa.select(ACCOUNT_DETAILS).where(
        ACCOUNT_DETAILS.c.account_id == account_id, ACCOUNT_DETAILS.c.as_of == as_of
    )
    past_rows = (
        sa.select(*(SCORES.c[name] for name in _PAST_COLUMNS))
        .where(
            SCORES.c.account_id == account_id, SCORES.c.rank.is_not(None), SCORES.c.as_of <= as_of
        )
        .order_by(SCORES.c.as_of.desc())
        .limit(_PAST_LISTS)
    )
    episodes = (
        sa.select(EPISODES)
        .where(EPISODES.c.account_id == account_id)
        .order_by(EPISODES.c.opened_on.desc(), EPISODES.c.limit)
    )
    # One transaction: a list that is committed meanwhile must not show on half of the page.
    with read_transaction(engine) as connection:
        row = connection.execute(on_list).mappings().first()
        if row is None:
            return None
        details = connection.execute(stored_details).first()
        return AccountView(
            row=dict(row),
            segment=details.segment if details else None,
            details=details.payload if details else {},
            past=fetch_rows(connection, past_rows)[::-1],
            episodes=fetch_rows(connection, episodes),
            alerts=alerts.load_account_alerts(connection, account_id),
            feedback=feedback.load_account_feedback(connection, account_id),
        )


def list_changed_terms(contract: Mapping[str, Sequence[Any]] | None) -> list[dict[str, Any]]:
    """Return the contract rows that changed a term, newest first."""
    if not contract:
        return []
    rows = [dict(zip(contract, row, strict=True)) for row in zip(*contract.values(), strict=True)]
    return [
        row
        for row, before in zip(rows, [None, *rows[:-1]], strict=True)
        if before is None
        or row["change"]
        or any(row[name] != before[name] for name in _TERM_COLUMNS)
    ][::-1]


def list_named_terms(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the names of the terms that the contract states."""
    return {name for name in _TERM_COLUMNS if any(row[name] is not None for row in rows)}
