"""What humans say became of an account, and what follows from it.

**How it is used.** *Contacted*, *won* and *not now* say that a human has dealt with the account:
they go into ``worked``, so that the next list makes no ask there for ``playbook.cooldown_days``. *Not
now* with a day rests until that day, be it nearer or further: see
:func:`serving.store.queries.load_snoozes`. *Won* and *wrong* change no rank and are no label: what counts
as an expansion is read from the contracts alone, or the model would learn what its readers believe.
``expansion evaluate`` holds every answer against what the contracts then showed
(:mod:`serving.monitoring.feedback_report`), the page of the model sets them beside the bands in which they were given
(:func:`count_by_band`), and all of them can be had as a file.
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

MAX_REASON_LENGTH: Final = 1000  # letters of a why
_FEEDBACK_COLUMNS: Final = tuple(each for each in FEEDBACK.c if each.name not in {"id", "once"})
_ROW_COLUMNS: Final = ("rank", "probability", "band", "tier", "limit", "motion")
_TOUCH_VERDICTS: Final = ("contacted", "won", "not now")


@dataclass(frozen=True)
class FeedbackEntry:
    """One answer.

    Attributes
    ----------
    once : str
        Of the form that was sent: twice the same is said once.
    account_id, as_of
        The account, and the list of which it was said.
    verdict, until, why
        What became of it; until when not; why wrong.
    """

    once: str
    account_id: str
    as_of: date
    verdict: FeedbackVerdict
    until: date | None = None
    why: str | None = None

    def __repr__(self) -> str:
        return f"Said({self.account_id!r}, {self.verdict})"


def save_feedback(engine: sa.Engine, entry: FeedbackEntry, user: User, now: datetime) -> bool:
    """Keep an answer with what follows from it; False where it was kept before.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses; nothing is kept then.
    """
    row = {**vars(entry), "given_at": now, "given_by": user.name}
    with write_transaction(engine, advice="your answer was not kept; try again.") as connection:
        existing = sa.select(FEEDBACK.c.id).where(FEEDBACK.c.once == entry.once)
        if connection.scalar(existing) is not None:
            return False
        connection.execute(sa.insert(FEEDBACK).values(**row))
        if entry.verdict in _TOUCH_VERDICTS and entry.until is None:
            description = f"{entry.verdict}, as told on the page"
            touch = {"account_id": entry.account_id, "worked_on": now.date(), "how": description}
            insert_or_skip(connection, ACCOUNT_TOUCHES, touch)
    return True


def load_account_feedback(engine: sa.Engine, account_id: str) -> list[dict[str, Any]]:
    """Every answer on an account, newest first."""
    query = sa.select(FEEDBACK).where(FEEDBACK.c.account_id == account_id)
    with read_transaction(engine) as connection:
        rows = connection.execute(query.order_by(FEEDBACK.c.id.desc())).mappings()
        return [dict(row) for row in rows]


def load_latest_feedback(engine: sa.Engine, accounts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Account → its newest answer, of those accounts that have one."""
    newest = sa.select(sa.func.max(FEEDBACK.c.id)).where(FEEDBACK.c.account_id.in_(accounts))
    query = sa.select(FEEDBACK).where(FEEDBACK.c.id.in_(newest.group_by(FEEDBACK.c.account_id)))
    with read_transaction(engine) as connection:
        return {row["account_id"]: dict(row) for row in connection.execute(query).mappings()}


def list_export_columns() -> tuple[str, ...]:
    """Name what :func:`load_feedback_rows` gives."""
    return (*(column.name for column in _FEEDBACK_COLUMNS), *_ROW_COLUMNS)


def load_feedback_rows(engine: sa.Engine, user: User, as_of: date) -> list[dict[str, Any]]:
    """Every answer on the viewer's accounts, oldest first, with the line it was said of.

    Whose an account is, is what the list of ``as_of`` says.
    """
    scored = SCORES.alias("said_of")
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
    """Band → how often each answer was given of accounts that stood in it; the latest of a list."""
    newest = sa.select(sa.func.max(FEEDBACK.c.id)).group_by(FEEDBACK.c.account_id, FEEDBACK.c.as_of)
    list_row = (SCORES.c.account_id == FEEDBACK.c.account_id) & (SCORES.c.as_of == FEEDBACK.c.as_of)
    counts = [
        sa.func.count(sa.case((FEEDBACK.c.verdict == each, 1))).label(each)
        for each in FEEDBACK_VERDICTS
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
