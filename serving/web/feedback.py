"""User feedback on accounts: storage, queries and export.

*Contacted*, *won* and *not now* count as a human touch. They are stored in the touches table, so
that the next list suppresses outreach for ``playbook.cooldown_days``. *Not now* with a date
suppresses outreach until that date: see :func:`serving.store.queries.load_snoozes`. *Won* and
*wrong* change no rank and are not labels. Expansions are labelled from contracts alone; otherwise
the model would learn its users' beliefs.

``expansion evaluate`` compares feedback with contract outcomes
(:mod:`serving.monitoring.feedback_report`). The model page shows it by probability band
(:func:`count_by_band`). It can be exported as CSV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa

from serving.store.engine import read_transaction, write_transaction
from serving.store.schema import (
    ACCOUNT_TOUCHES,
    FEEDBACK,
    FEEDBACK_VERDICTS,
    SCORES,
    FeedbackVerdict,
)
from serving.store.upsert import insert_or_skip
from serving.web.auth import User

__all__ = [
    "MAX_REASON_LENGTH",
    "FeedbackEntry",
    "count_by_band",
    "list_export_columns",
    "load_account_feedback",
    "load_feedback_rows",
    "load_latest_feedback",
    "save_feedback",
]

MAX_REASON_LENGTH: Final = 1000  # characters
_FEEDBACK_COLUMNS: Final = tuple(
    table_column for table_column in FEEDBACK.c if table_column.name not in {"id", "form_id"}
)
_ROW_COLUMNS: Final = ("rank", "probability", "band", "tier", "limit", "motion")
_TOUCH_VERDICTS: Final = ("contacted", "won", "not now")


@dataclass(frozen=True)
class FeedbackEntry:
    """One feedback form.

    Attributes
    ----------
    form_id : str
        Idempotency key of the form: a resubmission is ignored.
    account_id, as_of
        The account, and the list on which it was shown.
    verdict, snoozed_until, reason
        The outcome; the date of a *not now*; the reason or note.
    """

    form_id: str
    account_id: str
    as_of: date
    verdict: FeedbackVerdict
    snoozed_until: date | None = None
    reason: str | None = None

    def __repr__(self) -> str:
        return f"FeedbackEntry({self.account_id!r}, {self.verdict})"


def save_feedback(engine: sa.Engine, entry: FeedbackEntry, user: User, now: datetime) -> bool:
    """Save feedback and the touch that follows from it; return False for a resubmission.

    Raises
    ------
    data.errors.DeliveryError
        If the database fails; nothing is stored then.
    """
    row = {**vars(entry), "created_at": now, "created_by": user.name}
    with write_transaction(engine, advice="your feedback was not saved; try again.") as connection:
        existing = sa.select(FEEDBACK.c.id).where(FEEDBACK.c.form_id == entry.form_id)
        if connection.scalar(existing) is not None:
            return False
        connection.execute(sa.insert(FEEDBACK).values(**row))
        if entry.verdict in _TOUCH_VERDICTS and entry.snoozed_until is None:
            description = f"{entry.verdict}, reported on the page"
            touch = {
                "account_id": entry.account_id,
                "touched_on": now.date(),
                "activity": description,
            }
            insert_or_skip(connection, ACCOUNT_TOUCHES, touch)
    return True


def load_account_feedback(engine: sa.Engine, account_id: str) -> list[dict[str, Any]]:
    """Return all feedback on an account, newest first."""
    query = sa.select(FEEDBACK).where(FEEDBACK.c.account_id == account_id)
    with read_transaction(engine) as connection:
        rows = connection.execute(query.order_by(FEEDBACK.c.id.desc())).mappings()
        return [dict(row) for row in rows]


def load_latest_feedback(engine: sa.Engine, accounts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return account → its newest feedback, for accounts that have any."""
    newest = sa.select(sa.func.max(FEEDBACK.c.id)).where(FEEDBACK.c.account_id.in_(accounts))
    query = sa.select(FEEDBACK).where(FEEDBACK.c.id.in_(newest.group_by(FEEDBACK.c.account_id)))
    with read_transaction(engine) as connection:
        return {row["account_id"]: dict(row) for row in connection.execute(query).mappings()}


def list_export_columns() -> tuple[str, ...]:
    """Return the columns of :func:`load_feedback_rows`."""
    return (*(column.name for column in _FEEDBACK_COLUMNS), *_ROW_COLUMNS)


def load_feedback_rows(engine: sa.Engine, user: User, as_of: date) -> list[dict[str, Any]]:
    """Return all feedback on the user's accounts, oldest first, with the list row it refers to.

    Portfolios are those of the list of ``as_of``.
    """
    scored = SCORES.alias("scored_row")
    list_row = (scored.c.account_id == FEEDBACK.c.account_id) & (scored.c.as_of == FEEDBACK.c.as_of)
    current_row = (SCORES.c.account_id == FEEDBACK.c.account_id) & (SCORES.c.as_of == as_of)
    portfolio_filter = [] if user.csm is None else [SCORES.c.csm == user.csm]
    query = (
        sa.select(*_FEEDBACK_COLUMNS, *(scored.c[name] for name in _ROW_COLUMNS))
        .select_from(FEEDBACK.outerjoin(scored, list_row).outerjoin(SCORES, current_row))
        .where(*portfolio_filter)
        .order_by(FEEDBACK.c.id)
    )
    with read_transaction(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def count_by_band(engine: sa.Engine) -> list[dict[str, Any]]:
    """Return the number of each verdict by probability band, the latest per account and list."""
    newest = sa.select(sa.func.max(FEEDBACK.c.id)).group_by(FEEDBACK.c.account_id, FEEDBACK.c.as_of)
    list_row = (SCORES.c.account_id == FEEDBACK.c.account_id) & (SCORES.c.as_of == FEEDBACK.c.as_of)
    counts = [
        sa.func.count(sa.case((FEEDBACK.c.verdict == verdict, 1))).label(verdict)
        for verdict in FEEDBACK_VERDICTS
    ]
    query = (
        sa.select(SCORES.c.band, *counts)
        .select_from(FEEDBACK.join(SCORES, list_row))
        .where(FEEDBACK.c.id.in_(newest), SCORES.c.band.is_not(None))
        .group_by(SCORES.c.band)
        .order_by(sa.func.max(SCORES.c.probability).desc())
    )
    with read_transaction(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
