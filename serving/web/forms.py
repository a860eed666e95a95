"""Parsing and validation of submitted forms."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from serving.notify.digest.text_utils import to_single_line
from serving.store.schema import FEEDBACK_VERDICTS
from serving.web.feedback import MAX_REASON_LENGTH, FeedbackEntry

__all__ = ["FormError", "parse_feedback", "read_fields"]

_MAX_SNOOZE: Final = timedelta(days=730)
_FORM_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")


class FormError(Exception):
    """A form is invalid; the text tells the user what to correct."""


async def read_fields(request: Request) -> dict[str, str]:
    """Return the fields of a form; the last value of a repeated field."""
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise FormError("The form cannot be parsed.") from error
    return dict(pairs)


def parse_feedback(
    form: dict[str, str], account_id: str, as_of: date, today: date
) -> FeedbackEntry:
    """Parse a feedback form.

    Raises
    ------
    FormError
        If the verdict, a required reason or date, or the form id is missing or invalid.
    """
    verdict = next((known for known in FEEDBACK_VERDICTS if known == form.get("verdict")), None)
    if verdict is None:
        raise FormError("Choose an outcome: contacted, won, not now, or wrong.")
    form_id = form.get("form_id", "")
    if not _FORM_ID.fullmatch(form_id):
        raise FormError("The form id is missing or invalid; reload the page.")
    reason = to_single_line(form.get("reason", ""), MAX_REASON_LENGTH)
    if verdict == "wrong" and not reason:
        raise FormError("State the reason, so that it can be corrected.")
    snoozed_until = (
        _parse_snooze(form.get("snoozed_until", ""), today) if verdict == "not now" else None
    )
    return FeedbackEntry(form_id, account_id, as_of, verdict, snoozed_until, reason or None)


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
