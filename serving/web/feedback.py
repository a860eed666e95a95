"""User feedback on accounts: form, storage, queries and export.

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

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from serving.notify.digest.text_utils import to_single_line
from serving.store import fetch_rows, write_transaction
from serving.store.schema import (
    ACCOUNT_TOUCHES,
    FEEDBACK,
    FEEDBACK_VERDICTS,
    SCORES,
    FeedbackVerdict,
)
from serving.store.upsert import insert_or_skip
from serving.web.auth import User
from serving.web.dependencies import FormError

__all__ = [
    "EXPORT_COLUMNS",
    "FeedbackEntry",
    "count_by_band",
    "load_account_feedback",
    "load_feedback_rows",
    "load_latest_feedback",
    "parse_feedback",
    "save_feedback",
]

_MAX_REASON_LENGTH: Final = 1000  # characters
_MAX_SNOOZE: Final = timedelta(days=730)
_FORM_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_FEEDBACK_COLUMNS: Final = [column for column in FEEDBACK.c if column.name not in {"id", "form_id"}]
_ROW_COLUMNS: Final = ("rank", "probability", "band", "tier", "limit", "motion")
# Columns of :func:`load_feedback_rows`.
EXPORT_COLUMNS: Final = (*(column.name for column in _FEEDBACK_COLUMNS), *_ROW_COLUMNS)
_TOUCH_VERDICTS: Final = ("contacted", "won", "not now")


@dataclass(frozen=True, repr=False)
class FeedbackEntry:
    """One feedback form on an account, as shown on the list of ``as_of``.

    ``form_id`` is the form's idempotency key: a resubmission is ignored. ``snoozed_until`` is the
    date of a *not now*; ``reason`` is the reason or note.
    """

    form_id: str
    account_id: str
    as_of: date
    verdict: FeedbackVerdict
    snoozed_until: date | None = None
    reason: str | None = None


def parse_feedback(
    form: dict[str, str], account_id: str, as_of: date, today: date
) -> FeedbackEntry:
    """Parse a feedback form.

    Raises ``FormError`` if the verdict, a required reason or date, or the form id is missing or
    invalid.
    """
    verdict = next((known for known in FEEDBACK_VERDICTS if known == form.get("verdict")), None)
    if verdict is None:
        raise FormError("Choose an outcome: contacted, won, not now, or wrong.")
    form_id = form.get("form_id", "")
    if not _FORM_ID.fullmatch(form_id):
        raise FormError("The form id is missing or invalid; reload the page.")
    reason = to_single_line(form.get("reason", ""), _MAX_REASON_LENGTH)
    if verdict == "wrong" and not reason:
        raise FormError("State the reason, so that it can be corrected.")
    snoozed_until = (
        _parse_snooze(form.get("snoozed_until", ""), today) if verdict == "not now" else None
    )
    return FeedbackEntry(form_id, account_id, as_of, verdict, snoozed_until, reason or None)


def save_feedback(engine: sa.Engine, entry: FeedbackEntry, user: User, now: datetime) -> bool:
    """Save feedback and the touch that follows from it; return False for a resubmission.

    Raises ``DeliveryError`` if the database fails; nothing is stored then.
    """
    row = {**vars(entry), "created_at": now, "created_by": user.name}
    with write_transaction(engine, advice="your feedback was not saved; try again.") as connection:
        existing = sa.select(FEEDBACK.c.id).where(FEEDBACK.c.form_id == entry.form_id)
        if connection.scalar(existing) is not None:
            return False
        connection.execute(sa.insert(FEEDBACK).values(**row))
        if entry.verdict in _TOUCH_VERDICTS and entry.snoozed_until is None:
            touch = {
                "account_id": entry.account_id,
                "touched_on": now.date(),
                "activity": f"{entry.verdict}, reported on the page",
            }
            insert_or_skip(connection, ACCOUNT_TOUCHES, touch)
    return True


def load_account_feedback(
    source: sa.Engine | sa.Connection, account_id: str
) -> list[dict[str, Any]]:
    """Return all feedback on an account, newest first."""
    query = sa.select(FEEDBACK).where(FEEDBACK.c.account_id == account_id)
    return fetch_rows(source, query.order_by(FEEDBACK.c.id.desc()))


def load_latest_feedback(engine: sa.Engine, accounts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return account → its newest feedback, for accounts that have any."""
    newest = sa.select(sa.func.max(FEEDBACK.c.id)).where(FEEDBACK.c.account_id.in_(accounts))
    query = sa.select(FEEDBACK).where(FEEDBACK.c.id.in_(newest.group_by(FEEDBACK.c.account_id)))
    return {row["account_id"]: row for row in fetch_rows(engine, query)}


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
    return fetch_rows(engine, query)


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
    return fetch_rows(engine, query)


def _parse_snooze(text: str, today: date) -> date | None:
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise FormError("Enter the date as YYYY-MM-DD, such as 2026-07-01.") from None
    if not today < day <= today + _MAX_SNOOZE:
        raise FormError(f"Choose a date after {today} and within two years.")
    return day
