"""Read a form as browsers send it, and say in words what is wrong with it."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from serving.digest.plain import one_line
from serving.state.schema import VERDICTS
from serving.web.feedback import LONGEST, Said

__all__ = ["Mistake", "fields", "said"]

_FURTHEST: Final = timedelta(days=730)
_ONCE: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Mistake(Exception):  # noqa: N818 - it is the reader's to mend
    """What is wrong with a form, in a sentence."""


async def fields(request: Request) -> dict[str, str]:
    """Give the fields of a form; of several of one name the last."""
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise Mistake("This is no form of ours.") from error
    return dict(pairs)


def said(form: dict[str, str], account_id: str, as_of: date, today: date) -> Said:
    """Read an answer.

    Raises
    ------
    Mistake
        If it names no verdict, no day where one is needed, or does not come from a form of ours.
    """
    verdict = next((each for each in VERDICTS if each == form.get("verdict")), None)
    if verdict is None:
        raise Mistake("Choose what became of it: contacted, won, not now, or wrong.")
    once = form.get("once", "")
    if not _ONCE.fullmatch(once):
        raise Mistake("Load the page again and answer there.")
    why = one_line(form.get("why", ""), LONGEST)
    if verdict == "wrong" and not why:
        raise Mistake("Say in a few words what is wrong, so that it can be mended.")
    until = _until(form.get("until", ""), today) if verdict == "not now" else None
    return Said(once, account_id, as_of, verdict, until, why or None)


def _until(text: str, today: date) -> date | None:
    if not text.strip():
        return None
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise Mistake("Write the day as 2026-07-01.") from None
    if not today < day <= today + _FURTHEST:
        raise Mistake(f"Choose a day after {today} and within two years.")
    return day
