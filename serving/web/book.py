"""The list in force as a viewer may see it: one page of it, its counts, or all for a file.

Every query here is narrowed to the viewer's own book first. Lines are wide, so that they are only
read once it is known which: to filter, count and order by there is a narrow copy of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import sqlalchemy as sa

from serving.state.database import reading
from serving.state.schema import BOOKS, RUNS, SCORES
from serving.web import signals
from serving.web.sign_in import Viewer
from serving.web.wanted import NOBODY, Wanted

__all__ = [
    "WEEK",
    "Shown",
    "columns",
    "everything",
    "names_csms",
    "newest",
    "shown",
    "told_on",
    "within",
]

WEEK: Final = timedelta(days=6)
_LINE: Final = (
    *("account_id", "name", "csm", "rank", "book_rank", "this_week", "ask", "probability", "low"),
    *("high", "readiness_date", "expected_arr", "limit", "tier", "motion", "buyer", "signals"),
    *("changed", "holds_back", "note", "active_seats", "licensed_seats", "seat_utilization"),
)
_FILE: Final = (*_LINE, "band", "expected_date", "probability_180d", "churn_probability")


@dataclass(frozen=True)
class Shown:
    """One page of the list.

    Attributes
    ----------
    rows : sequence of mapping
        Lines, see ``serving.state.schema.LINE``, with ``segment``.
    found, listed : int
        Accounts that the filters let through; and in all of the viewer's books.
    week, ready, fresh : int
        Of those in all: within the week's capacity; with a readiness date in the week; with a
        signal that rose in the list's week or since.
    csms, segments : sequence of tuple
        What can be chosen, with how many accounts.

    Where the table alone is asked for, nothing is counted but ``found``.
    """

    rows: Sequence[dict[str, Any]]
    found: int
    listed: int
    week: int
    ready: int
    fresh: int
    csms: Sequence[tuple[str, int]]
    segments: Sequence[tuple[str, int]]

    def __repr__(self) -> str:
        return f"Shown({len(self.rows)} of {self.found} accounts)"


def shown(
    engine: sa.Engine,
    viewer: Viewer,
    wanted: Wanted,
    as_of: date,
    *,
    rows: int,
    table_alone: bool = False,
) -> Shown:
    """Give one page of the list of an as-of."""
    of = within(viewer, as_of)
    fitting = sa.select(BOOKS.c.account_id).where(*of, *_narrowed(wanted, as_of))
    places = fitting.order_by(*_order(wanted, viewer)).limit(rows)
    query = _lines(_LINE).order_by(*_order(wanted, viewer))
    with reading(engine) as connection:
        counts = [] if table_alone else connection.execute(_counts(of, as_of)).all()
        found = listed = sum(each.listed for each in counts)
        if wanted.narrowed or table_alone:
            found = connection.scalar(fitting.with_only_columns(sa.func.count())) or 0
        chosen = list(connection.scalars(places.offset((wanted.page - 1) * rows)))
        told = connection.execute(query.where(*of, BOOKS.c.account_id.in_(chosen))).mappings()
        lines = [dict(row) for row in told]
    return Shown(
        lines,
        found,
        listed,
        sum(each.week for each in counts),
        sum(each.ready for each in counts),
        sum(each.fresh for each in counts),
        _choices(counts, "csm") if viewer.csm is None else [],
        [each for each in _choices(counts, "segment") if each[0] != NOBODY],
    )


def everything(
    engine: sa.Engine, viewer: Viewer, wanted: Wanted, as_of: date
) -> Iterator[dict[str, Any]]:
    """Give every line that the filters let through, for a file."""
    query = (
        _lines(_FILE)
        .where(*within(viewer, as_of), *_narrowed(wanted, as_of))
        .order_by(*_order(wanted, viewer))
    )
    with reading(engine) as connection:
        for row in connection.execution_options(yield_per=1000).execute(query).mappings():
            yield dict(row)


def columns() -> tuple[str, ...]:
    """Name what :func:`everything` gives."""
    return (*_FILE, "segment")


def within(viewer: Viewer, as_of: date) -> list[sa.ColumnElement[bool]]:
    """What narrows a query of ``books`` to the viewer's accounts on the list of an as-of."""
    whose = [] if viewer.csm is None else [BOOKS.c.csm == viewer.csm]
    return [BOOKS.c.as_of == as_of, *whose]


def newest(engine: sa.Engine) -> date | None:
    """As-of of the list in force, or None before the first run."""
    with reading(engine) as connection:
        found: date | None = connection.scalar(sa.select(sa.func.max(RUNS.c.as_of)))
    return found


def names_csms(engine: sa.Engine, as_of: date) -> bool:
    """Whether any account of a list has a CSM: else nothing is to be said of books."""
    query = sa.select(BOOKS.c.csm).where(BOOKS.c.as_of == as_of, BOOKS.c.csm.is_not(None))
    with reading(engine) as connection:
        return connection.scalar(query.limit(1)) is not None


def told_on(as_of: date, today: date) -> date:
    """The day against which dates are told: today in the list's own week, else the list's day."""
    return today if as_of <= today <= as_of + WEEK else as_of


def _lines(names: Sequence[str]) -> sa.Select[Any]:
    """The lines of the list in force, with the segment."""
    line = (SCORES.c.account_id == BOOKS.c.account_id) & (SCORES.c.as_of == BOOKS.c.as_of)
    return sa.select(*(SCORES.c[name] for name in names), BOOKS.c.segment).select_from(
        BOOKS.join(SCORES, line)
    )


def _ready(as_of: date) -> sa.ColumnElement[bool]:
    return BOOKS.c.ask.is_not(False) & (BOOKS.c.readiness_date <= as_of + WEEK)


def _whens(as_of: date) -> dict[str, sa.ColumnElement[bool]]:
    return {
        "ready": _ready(as_of),
        "week": BOOKS.c.this_week.is_(True),
        "signal": BOOKS.c.account_id.in_(signals.who(as_of)),
    }


def _narrowed(wanted: Wanted, as_of: date) -> Iterator[sa.ColumnElement[bool]]:
    line = BOOKS.c
    if wanted.csm:
        yield line.csm.is_(None) if wanted.csm == NOBODY else line.csm == wanted.csm
    if wanted.tier:
        yield line.tier.is_(None) if wanted.tier == "none" else line.tier == int(wanted.tier)
    if wanted.limit:
        yield line.limit == wanted.limit
    if wanted.segment:
        yield line.segment == wanted.segment
    if wanted.when:
        yield _whens(as_of)[wanted.when]
    if wanted.q:
        part = wanted.q.lower()
        yield sa.or_(
            sa.func.lower(line.name).contains(part, autoescape=True),
            sa.func.lower(line.account_id).contains(part, autoescape=True),
        )


def _order(wanted: Wanted, viewer: Viewer) -> list[Any]:
    line = BOOKS.c
    one_book = viewer.csm is not None or bool(wanted.csm)
    first: dict[str, Any] = {
        "rank": line.book_rank.nulls_last() if one_book else line.rank,
        "name": sa.func.lower(sa.func.coalesce(line.name, line.account_id)),
        "chance": line.probability.desc().nulls_last(),
        "ready": line.readiness_date.nulls_last(),
        "arr": line.expected_arr.desc().nulls_last(),
        "full": line.seat_utilization.desc().nulls_last(),
    }
    return [first[wanted.sort], line.rank, line.account_id]


def _counts(of: Sequence[sa.ColumnElement[bool]], as_of: date) -> sa.Select[Any]:
    """What is counted of each book's segments, in one walk through the list."""
    return (
        sa.select(
            BOOKS.c.csm,
            BOOKS.c.segment,
            sa.func.count().label("listed"),
            *(
                sa.func.count(sa.case((holds, 1))).label({"signal": "fresh"}.get(when, when))
                for when, holds in _whens(as_of).items()
            ),
        )
        .where(*of)
        .group_by(BOOKS.c.csm, BOOKS.c.segment)
    )


def _choices(counts: Sequence[Any], name: str) -> list[tuple[str, int]]:
    """What can be chosen of a column, with how many accounts; those without one last."""
    found: Counter[str] = Counter()
    for each in counts:
        found[getattr(each, name) or NOBODY] += each.listed
    return sorted(found.items(), key=lambda choice: (choice[0] == NOBODY, choice[0]))
