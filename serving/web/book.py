"""The list in force as a viewer may see it: one page of it, its counts, or all for a file.

Every query here is narrowed to the viewer's own book first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import sqlalchemy as sa

from serving.state.database import reading
from serving.state.schema import PORTRAITS, RUNS, SCORES
from serving.web.sign_in import Viewer
from serving.web.wanted import NOBODY, Wanted

__all__ = ["Shown", "columns", "everything", "newest", "seen", "shown", "within"]

WEEK: Final = timedelta(days=6)
_LINE: Final = (
    *("account_id", "name", "csm", "rank", "book_rank", "this_week", "ask", "probability", "low"),
    *("high", "readiness_date", "expected_arr", "limit", "tier", "motion", "buyer", "signals"),
    *("changed", "holds_back", "active_seats", "licensed_seats", "seat_utilization"),
)
_FILE: Final = (*_LINE, "band", "expected_date", "probability_180d", "churn_probability", "note")


@dataclass(frozen=True)
class Shown:
    """One page of the list.

    Attributes
    ----------
    rows : sequence of mapping
        Lines, see ``serving.state.schema.LINE``, with ``segment``.
    found, listed : int
        Accounts that the filters let through; and in all of the viewer's books.
    week, ready : int
        Of those in all: within the week's capacity; with a readiness date in the week.
    csms, segments : sequence of tuple
        What can be chosen, with how many accounts.
    """

    rows: Sequence[dict[str, Any]]
    found: int
    listed: int
    week: int
    ready: int
    csms: Sequence[tuple[str, int]]
    segments: Sequence[tuple[str, int]]

    def __repr__(self) -> str:
        return f"Shown({len(self.rows)} of {self.found} accounts)"


def shown(engine: sa.Engine, viewer: Viewer, wanted: Wanted, as_of: date, *, rows: int) -> Shown:
    """Give one page of the list of an as-of."""
    of = within(viewer, as_of)
    book = [*of, *_narrowed(wanted, as_of)]
    # Which lines first, and then what stands in them: a sort that drags sentences along is slow.
    fitting = sa.select(SCORES.c.account_id).select_from(_needed(wanted)).where(*book)
    places = fitting.order_by(*_order(wanted, viewer)).limit(rows)
    chosen = places.offset((wanted.page - 1) * rows).correlate(None).scalar_subquery()
    query = (
        sa.select(*(SCORES.c[name] for name in _LINE), PORTRAITS.c.segment)
        .select_from(_joined())
        .where(*of, SCORES.c.account_id.in_(chosen))
        .order_by(*_order(wanted, viewer))
    )
    with reading(engine) as connection:
        books = connection.execute(_of_books(of, as_of)).all()
        listed = sum(each.listed for each in books)
        found = listed
        if wanted.narrowed:
            found = connection.scalar(fitting.with_only_columns(sa.func.count())) or 0
        lines = [dict(row) for row in connection.execute(query).mappings()]
        segments = connection.execute(_of_segments(viewer, as_of)).all()
    return Shown(
        lines,
        found,
        listed,
        sum(each.week for each in books),
        sum(each.ready for each in books),
        [(each.csm or NOBODY, each.listed) for each in books] if viewer.csm is None else [],
        [(name, count) for name, count in segments if name],
    )


def everything(
    engine: sa.Engine, viewer: Viewer, wanted: Wanted, as_of: date
) -> Iterator[dict[str, Any]]:
    """Give every line that the filters let through, for a file."""
    query = (
        sa.select(*(SCORES.c[name] for name in _FILE), PORTRAITS.c.segment)
        .select_from(_joined())
        .where(*within(viewer, as_of), *_narrowed(wanted, as_of))
        .order_by(*_order(wanted, viewer))
    )
    with reading(engine) as connection:
        for row in connection.execution_options(yield_per=1000).execute(query).mappings():
            yield dict(row)


def columns() -> tuple[str, ...]:
    """Name what :func:`everything` gives."""
    return (*_FILE, "segment")


def seen(viewer: Viewer) -> list[sa.ColumnElement[bool]]:
    """What narrows any query of lines to the viewer's own book."""
    return [] if viewer.csm is None else [SCORES.c.csm == viewer.csm]


def within(viewer: Viewer, as_of: date) -> list[sa.ColumnElement[bool]]:
    """What narrows a query to the viewer's accounts on the list of an as-of."""
    return [SCORES.c.as_of == as_of, SCORES.c.rank.is_not(None), *seen(viewer)]


def newest(engine: sa.Engine) -> date | None:
    """As-of of the list in force, or None before the first run."""
    with reading(engine) as connection:
        found: date | None = connection.scalar(sa.select(sa.func.max(RUNS.c.as_of)))
    return found


def _joined() -> sa.Join:
    return SCORES.outerjoin(PORTRAITS, SCORES.c.account_id == PORTRAITS.c.account_id)


def _needed(wanted: Wanted) -> sa.FromClause:
    return _joined() if wanted.segment else SCORES


def _ready(as_of: date) -> sa.ColumnElement[bool]:
    return SCORES.c.ask.is_not(False) & (SCORES.c.readiness_date <= as_of + WEEK)


def _narrowed(wanted: Wanted, as_of: date) -> Iterator[sa.ColumnElement[bool]]:
    line = SCORES.c
    if wanted.csm:
        yield line.csm.is_(None) if wanted.csm == NOBODY else line.csm == wanted.csm
    if wanted.tier:
        yield line.tier.is_(None) if wanted.tier == "none" else line.tier == int(wanted.tier)
    if wanted.limit:
        yield line.limit == wanted.limit
    if wanted.segment:
        yield PORTRAITS.c.segment == wanted.segment
    if wanted.when:
        yield _ready(as_of) if wanted.when == "ready" else line.this_week.is_(True)
    if wanted.q:
        part = wanted.q.lower()
        yield sa.or_(
            sa.func.lower(line.name).contains(part, autoescape=True),
            sa.func.lower(line.account_id).contains(part, autoescape=True),
        )


def _order(wanted: Wanted, viewer: Viewer) -> list[Any]:
    line = SCORES.c
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


def _of_books(of: Sequence[sa.ColumnElement[bool]], as_of: date) -> sa.Select[Any]:
    return (
        sa.select(
            SCORES.c.csm,
            sa.func.count().label("listed"),
            sa.func.count(sa.case((SCORES.c.this_week, 1))).label("week"),
            sa.func.count(sa.case((_ready(as_of), 1))).label("ready"),
        )
        .where(*of)
        .group_by(SCORES.c.csm)
        .order_by(SCORES.c.csm.nulls_last())
    )


def _of_segments(viewer: Viewer, as_of: date) -> sa.Select[Any]:
    query = sa.select(PORTRAITS.c.segment, sa.func.count()).where(PORTRAITS.c.as_of == as_of)
    if viewer.csm is not None:
        query = query.select_from(_joined()).where(*within(viewer, as_of))
    return query.group_by(PORTRAITS.c.segment).order_by(PORTRAITS.c.segment)
