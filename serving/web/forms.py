"""Read a form as browsers send it, and say in words what is wrong with it."""

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


class FormError(Exception):  # noqa: N818 - it is the reader's to mend
    """What is wrong with a form, in a sentence."""


async def read_fields(request: Request) -> dict[str, str]:
    """Give the fields of a form; of several of one name the last."""
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise FormError("This is no form of ours.") from error
    return dict(pairs)


def parse_feedback(
    form: dict[str, str], account_id: str, as_of: date, today: date
) -> FeedbackEntry:
    """Read an answer.

    Raises
    ------
    FormError
        If it names no verdict, no day where one is needed, or does not come from a form of ours.
    """
    verdict = next((each for each in FEEDBACK_VERDICTS if each == form.get("verdict")), None)
    if verdict is None:
        raise FormError("Choose what became of it: contacted, won, not now, or wrong.")
    form_id = form.get("once", "")
    if not _FORM_ID.fullmatch(form_id):
        raise FormError("Load the page again and answer there.")
    reason = to_single_line(form.get("why", ""), MAX_REASON_LENGTH)
    if verdict == "wrong" and not reason:
        raise FormError("Say in a few words what is wrong, so that it can be mended.")
    until = _parse_until(form.get("until", ""), today) if verdict == "not now" else None
    return FeedbackEntry(form_id, account_id, as_of, verdict, until, reason or None)


def _parse_until(text: str, today: date) -> date | None:
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise FormError("Write the day as 2026-07-01.") from None
    if not today < day <= today + _MAX_SNOOZE:
        raise FormError(f"Choose a day after {today} and within two years.")
    return day
