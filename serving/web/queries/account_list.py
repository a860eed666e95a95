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

from serving.store.engine import read_transaction
from serving.store.schema import LIST_INDEX, RUNS, SCORES
from serving.web.auth import User
from serving.web.queries import alerts
from serving.web.queries.list_filters import NO_CSM, ListFilters

__all__ = [
    "WEEK",
    "ListPage",
    "get_reference_date",
    "has_csms",
    "iter_list_rows",
    "list_export_columns",
    "load_latest_as_of",
    "load_page",
    "restrict_to_user",
]

WEEK: Final = timedelta(days=6)
_ROW_COLUMNS: Final = (
    *("account_id", "name", "csm", "rank", "book_rank", "this_week", "ask", "probability", "low"),
    *("high", "readiness_date", "expected_arr", "limit", "tier", "motion", "buyer", "signals"),
    *("changed", "holds_back", "note", "active_seats", "licensed_seats", "seat_utilization"),
)
_EXPORT_COLUMNS: Final = (
    *_ROW_COLUMNS,
    "band",
    "expected_date",
    "probability_180d",
    "churn_probability",
)


@dataclass(frozen=True)
class ListPage:
    """One page of the list.

    Attributes
    ----------
    rows : sequence of mapping
        Lines, see ``serving.store.schema.SCORE_COLUMNS``, with ``segment``.
    total, listed : int
        Accounts that the filters let through; and in all of the viewer's books.
    in_capacity, ready, with_alerts : int
        Of those in all: within the week's capacity; with a readiness date in the week; with a
        signal that rose in the list's week or since.
    csms, segments : sequence of tuple
        What can be chosen, with how many accounts.

    Where the table alone is asked for, nothing is counted but ``total``.
    """

    rows: Sequence[dict[str, Any]]
    total: int
    listed: int
    in_capacity: int
    ready: int
    with_alerts: int
    csms: Sequence[tuple[str, int]]
    segments: Sequence[tuple[str, int]]

    def __repr__(self) -> str:
        return f"Shown({len(self.rows)} of {self.total} accounts)"


def load_page(
    engine: sa.Engine,
    user: User,
    filters: ListFilters,
    as_of: date,
    *,
    page_size: int,
    table_only: bool = False,
) -> ListPage:
    """Give one page of the list of an as-of."""
    visible = restrict_to_user(user, as_of)
    matching = sa.select(LIST_INDEX.c.account_id).where(*visible, *_build_filters(filters, as_of))
    ordered = matching.order_by(*_build_sort_keys(filters, user)).limit(page_size)
    query = _select_rows(_ROW_COLUMNS).order_by(*_build_sort_keys(filters, user))
    with read_transaction(engine) as connection:
        counts = [] if table_only else connection.execute(_build_count_query(visible, as_of)).all()
        total = listed = sum(each.listed for each in counts)
        if filters.is_filtered or table_only:
            total = connection.scalar(matching.with_only_columns(sa.func.count())) or 0
        account_ids = list(connection.scalars(ordered.offset((filters.page - 1) * page_size)))
        result = connection.execute(
            query.where(*visible, LIST_INDEX.c.account_id.in_(account_ids))
        ).mappings()
        list_rows = [dict(row) for row in result]
    return ListPage(
        list_rows,
        total,
        listed,
        sum(each.week for each in counts),
        sum(each.ready for each in counts),
        sum(each.fresh for each in counts),
        _count_choices(counts, "csm") if user.csm is None else [],
        [each for each in _count_choices(counts, "segment") if each[0] != NO_CSM],
    )


def iter_list_rows(
    engine: sa.Engine, user: User, filters: ListFilters, as_of: date
) -> Iterator[dict[str, Any]]:
    """Give every line that the filters let through, for a file."""
    query = (
        _select_rows(_EXPORT_COLUMNS)
        .where(*restrict_to_user(user, as_of), *_build_filters(filters, as_of))
        .order_by(*_build_sort_keys(filters, user))
    )
    with read_transaction(engine) as connection:
        for row in connection.execution_options(yield_per=1000).execute(query).mappings():
            yield dict(row)


def list_export_columns() -> tuple[str, ...]:
    """Name what :func:`iter_list_rows` gives."""
    return (*_EXPORT_COLUMNS, "segment")


def restrict_to_user(user: User, as_of: date) -> list[sa.ColumnElement[bool]]:
    """What narrows a query of ``books`` to the viewer's accounts on the list of an as-of."""
    portfolio_filter = [] if user.csm is None else [LIST_INDEX.c.csm == user.csm]
    return [LIST_INDEX.c.as_of == as_of, *portfolio_filter]


def load_latest_as_of(engine: sa.Engine) -> date | None:
    """As-of of the list in force, or None before the first run."""
    with read_transaction(engine) as connection:
        as_of: date | None = connection.scalar(sa.select(sa.func.max(RUNS.c.as_of)))
    return as_of


def has_csms(engine: sa.Engine, as_of: date) -> bool:
    """Whether any account of a list has a CSM: else nothing is to be said of books."""
    query = sa.select(LIST_INDEX.c.csm).where(
        LIST_INDEX.c.as_of == as_of, LIST_INDEX.c.csm.is_not(None)
    )
    with read_transaction(engine) as connection:
        return connection.scalar(query.limit(1)) is not None


def get_reference_date(as_of: date, today: date) -> date:
    """The day against which dates are told: today in the list's own week, else the list's day."""
    return today if as_of <= today <= as_of + WEEK else as_of


def _select_rows(names: Sequence[str]) -> sa.Select[Any]:
    """The lines of the list in force, with the segment."""
    same_account = (SCORES.c.account_id == LIST_INDEX.c.account_id) & (
        SCORES.c.as_of == LIST_INDEX.c.as_of
    )
    return sa.select(*(SCORES.c[name] for name in names), LIST_INDEX.c.segment).select_from(
        LIST_INDEX.join(SCORES, same_account)
    )


def _build_ready_filter(as_of: date) -> sa.ColumnElement[bool]:
    return LIST_INDEX.c.ask.is_not(False) & (LIST_INDEX.c.readiness_date <= as_of + WEEK)


def _build_when_filters(as_of: date) -> dict[str, sa.ColumnElement[bool]]:
    return {
        "ready": _build_ready_filter(as_of),
        "week": LIST_INDEX.c.this_week.is_(True),
        "signal": LIST_INDEX.c.account_id.in_(alerts.select_accounts_with_alerts(as_of)),
    }


def _build_filters(filters: ListFilters, as_of: date) -> Iterator[sa.ColumnElement[bool]]:
    columns = LIST_INDEX.c
    if filters.csm:
        yield columns.csm.is_(None) if filters.csm == NO_CSM else columns.csm == filters.csm
    if filters.tier:
        yield (
            columns.tier.is_(None) if filters.tier == "none" else columns.tier == int(filters.tier)
        )
    if filters.limit:
        yield columns.limit == filters.limit
    if filters.segment:
        yield columns.segment == filters.segment
    if filters.when:
        yield _build_when_filters(as_of)[filters.when]
    if filters.q:
        search = filters.q.lower()
        yield sa.or_(
            sa.func.lower(columns.name).contains(search, autoescape=True),
            sa.func.lower(columns.account_id).contains(search, autoescape=True),
        )


def _build_sort_keys(filters: ListFilters, user: User) -> list[Any]:
    columns = LIST_INDEX.c
    one_portfolio = user.csm is not None or bool(filters.csm)
    sort_keys: dict[str, Any] = {
        "rank": columns.book_rank.nulls_last() if one_portfolio else columns.rank,
        "name": sa.func.lower(sa.func.coalesce(columns.name, columns.account_id)),
        "chance": columns.probability.desc().nulls_last(),
        "ready": columns.readiness_date.nulls_last(),
        "arr": columns.expected_arr.desc().nulls_last(),
        "full": columns.seat_utilization.desc().nulls_last(),
    }
    return [sort_keys[filters.sort], columns.rank, columns.account_id]


def _build_count_query(visible: Sequence[sa.ColumnElement[bool]], as_of: date) -> sa.Select[Any]:
    """What is counted of each book's segments, in one walk through the list."""
    return (
        sa.select(
            LIST_INDEX.c.csm,
            LIST_INDEX.c.segment,
            sa.func.count().label("listed"),
            *(
                sa.func.count(sa.case((condition, 1))).label({"signal": "fresh"}.get(when, when))
                for when, condition in _build_when_filters(as_of).items()
            ),
        )
        .where(*visible)
        .group_by(LIST_INDEX.c.csm, LIST_INDEX.c.segment)
    )


def _count_choices(counts: Sequence[Any], name: str) -> list[tuple[str, int]]:
    """What can be chosen of a column, with how many accounts; those without one last."""
    counter: Counter[str] = Counter()
    for each in counts:
        counter[getattr(each, name) or NO_CSM] += each.listed
    return sorted(counter.items(), key=lambda choice: (choice[0] == NO_CSM, choice[0]))
