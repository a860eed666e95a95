"""What humans say became of an account, and what follows from it.

**How it is used.** *Contacted*, *won* and *not now* say that a human has dealt with the account:
they go into ``worked``, so that the next list makes no ask there for ``playbook.rest_days``. *Not
now* with a day rests until that day, be it nearer or further: see
:func:`serving.state.lists.not_now`. *Won* and *wrong* change no rank and are no label: what counts
as an expansion is read from the contracts alone, or the model would learn what its readers believe.
``expansion evaluate`` holds every answer against what the contracts then showed
(:mod:`serving.answers`), the page of the model sets them beside the bands in which they were given
(:func:`by_band`), and all of them can be had as a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa

from serving.outbox.upsert import insert_or_skip
from serving.state.database import reading, writing
from serving.state.schema import FEEDBACK, SCORES, VERDICTS, WORKED, Verdict
from serving.web.sign_in import Viewer

__all__ = [
    "LONGEST",
    "Said",
    "by_band",
    "columns",
    "everything",
    "give",
    "latest",
    "of_account",
]

LONGEST: Final = 1000  # letters of a why
_ANSWER: Final = tuple(each for each in FEEDBACK.c if each.name not in {"id", "once"})
_OF_LINE: Final = ("rank", "probability", "band", "tier", "limit", "motion")
_DEALT_WITH: Final = ("contacted", "won", "not now")


@dataclass(frozen=True)
class Said:
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
    verdict: Verdict
    until: date | None = None
    why: str | None = None

    def __repr__(self) -> str:
        return f"Said({self.account_id!r}, {self.verdict})"


def give(engine: sa.Engine, said: Said, viewer: Viewer, now: datetime) -> bool:
    """Keep an answer with what follows from it; False where it was kept before.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses; nothing is kept then.
    """
    row = {**vars(said), "given_at": now, "given_by": viewer.name}
    with writing(engine, consequence="your answer was not kept; try again.") as connection:
        known = sa.select(FEEDBACK.c.id).where(FEEDBACK.c.once == said.once)
        if connection.scalar(known) is not None:
            return False
        connection.execute(sa.insert(FEEDBACK).values(**row))
        if said.verdict in _DEALT_WITH and said.until is None:
            how = f"{said.verdict}, as told on the page"
            worked = {"account_id": said.account_id, "worked_on": now.date(), "how": how}
            insert_or_skip(connection, WORKED, worked)
    return True


def of_account(engine: sa.Engine, account_id: str) -> list[dict[str, Any]]:
    """Every answer on an account, newest first."""
    query = sa.select(FEEDBACK).where(FEEDBACK.c.account_id == account_id)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(FEEDBACK.c.id.desc())).mappings()
        return [dict(row) for row in rows]


def latest(engine: sa.Engine, accounts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Account → its newest answer, of those accounts that have one."""
    newest = sa.select(sa.func.max(FEEDBACK.c.id)).where(FEEDBACK.c.account_id.in_(accounts))
    query = sa.select(FEEDBACK).where(FEEDBACK.c.id.in_(newest.group_by(FEEDBACK.c.account_id)))
    with reading(engine) as connection:
        return {row["account_id"]: dict(row) for row in connection.execute(query).mappings()}


def columns() -> tuple[str, ...]:
    """Name what :func:`everything` gives."""
    return (*(column.name for column in _ANSWER), *_OF_LINE)


def everything(engine: sa.Engine, viewer: Viewer, as_of: date) -> list[dict[str, Any]]:
    """Every answer on the viewer's accounts, oldest first, with the line it was said of.

    Whose an account is, is what the list of ``as_of`` says.
    """
    said = SCORES.alias("said_of")
    then = (said.c.account_id == FEEDBACK.c.account_id) & (said.c.as_of == FEEDBACK.c.as_of)
    now = (SCORES.c.account_id == FEEDBACK.c.account_id) & (SCORES.c.as_of == as_of)
    whose = [] if viewer.csm is None else [SCORES.c.csm == viewer.csm]
    query = (
        sa.select(*_ANSWER, *(said.c[name] for name in _OF_LINE))
        .select_from(FEEDBACK.outerjoin(said, then).outerjoin(SCORES, now))
        .where(*whose)
        .order_by(FEEDBACK.c.id)
    )
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def by_band(engine: sa.Engine) -> list[dict[str, Any]]:
    """Band → how often each answer was given of accounts that stood in it; the latest of a list."""
    newest = sa.select(sa.func.max(FEEDBACK.c.id)).group_by(FEEDBACK.c.account_id, FEEDBACK.c.as_of)
    then = (SCORES.c.account_id == FEEDBACK.c.account_id) & (SCORES.c.as_of == FEEDBACK.c.as_of)
    counts = [
        sa.func.count(sa.case((FEEDBACK.c.verdict == each, 1))).label(each) for each in VERDICTS
    ]
    query = (
        sa.select(SCORES.c.band, *counts)
        .select_from(FEEDBACK.join(SCORES, then))
        .where(FEEDBACK.c.id.in_(newest), SCORES.c.band.is_not(None))
        .group_by(SCORES.c.band)
        .order_by(sa.func.max(SCORES.c.probability).desc())
    )
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
