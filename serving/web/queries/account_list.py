"""The active list as a user may see it: filters, one page with its counts, or all rows for a file.

Every query is restricted to the user's portfolio first. Filtering, counting and sorting use a
narrow index table; the wide rows are read for the selected accounts only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, Field

from serving.store.engine import read_transaction
from serving.store.schema import LIST_INDEX, SCORES
from serving.web.auth import User
from serving.web.queries import alerts

__all__ = [
    "EXPORT_COLUMNS",
    "NO_CSM",
    "WEEK",
    "ListFilters",
    "ListPage",
    "get_reference_date",
    "has_csms",
    "iter_list_rows",
    "load_page",
]

WEEK: Final = timedelta(days=6)
NO_CSM: Final = "\u2014"  # filter value for accounts without a CSM
_Text = Annotated[str, Field(max_length=200), AfterValidator(lambda text: text.replace("\0", ""))]
_ROW_COLUMNS: Final = (
    *("account_id", "name", "csm", "rank", "portfolio_rank", "in_weekly_capacity"),
    *("outreach_allowed", "probability", "low", "high", "readiness_date", "expected_arr"),
    *("limit", "tier", "motion", "contact_role", "signals", "changes", "counter_reasons", "note"),
    *("active_seats", "licensed_seats", "seat_utilization"),
)
_FILE_COLUMNS: Final = (
    *_ROW_COLUMNS,
    *("band", "expected_date", "probability_180d", "churn_probability"),
)
EXPORT_COLUMNS: Final = (*_FILE_COLUMNS, "segment")  # of :func:`iter_list_rows`


class ListFilters(BaseModel, frozen=True):
    """The query parameters of the list; an empty value does not filter.

    ``tier`` and ``limit`` are as on the list; "none" selects accounts without one. ``when`` selects
    by readiness date up to the end of the week, weekly capacity, or a new alert, see
    :mod:`serving.web.queries.alerts`. ``q`` is part of the name or the id; ``page`` counts from 1.
    """

    csm: _Text = ""
    tier: Literal["", "1", "2", "none"] = ""
    limit: Literal["", "seats", "usage", "plan", "none"] = ""
    segment: _Text = ""
    when: Literal["", "ready", "capacity", "alert"] = ""
    q: Annotated[_Text, AfterValidator(str.strip)] = ""
    sort: Literal["rank", "name", "probability", "ready", "arr", "utilization"] = "rank"
    page: int = Field(1, ge=1, le=1_000_000)

    def build_query(self, **changes: object) -> str:
        """Return the query string with changed parameters; the page resets to 1 unless given."""
        changed = self.model_copy(update={"page": 1, **changes})
        return f"?{urlencode(changed.model_dump(exclude_defaults=True))}"

    @property
    def is_filtered(self) -> bool:
        """True if any filter is set."""
        return bool(self.csm or self.tier or self.limit or self.segment or self.when or self.q)


@dataclass(frozen=True, repr=False)
class ListPage:
    """One page of the list.

    ``rows`` have the columns of ``serving.store.schema.SCORE_COLUMNS`` and ``segment``. ``total``
    counts the accounts that match the filters. The other numbers count all accounts in the user's
    portfolios: ``in_capacity`` this week, ``ready`` this week, ``with_alerts`` that are new.
    ``csms`` and ``segments`` are filter choices with their number of accounts.

    With ``table_only``, nothing is counted except ``total``.
    """

    rows: Sequence[dict[str, Any]]
    total: int
    listed: int
    in_capacity: int
    ready: int
    with_alerts: int
    csms: Sequence[tuple[str, int]]
    segments: Sequence[tuple[str, int]]


def load_page(
    engine: sa.Engine,
    user: User,
    filters: ListFilters,
    as_of: date,
    *,
    page_size: int,
    table_only: bool = False,
) -> ListPage:
    """Load one page of the list of an as-of date."""
    visible = _restrict_to_user(user, as_of)
    matching = sa.select(LIST_INDEX.c.account_id).where(*visible, *_build_filters(filters, as_of))
    ordered = matching.order_by(*_build_sort_keys(filters, user)).limit(page_size)
    query = _select_rows(_ROW_COLUMNS).order_by(*_build_sort_keys(filters, user))
    with read_transaction(engine) as connection:
        counts = [] if table_only else connection.execute(_build_count_query(visible, as_of)).all()
        total = listed = sum(count.listed for count in counts)
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
        sum(count.capacity for count in counts),
        sum(count.ready for count in counts),
        sum(count.alert for count in counts),
        _count_choices(counts, "csm") if user.csm is None else [],
        [choice for choice in _count_choices(counts, "segment") if choice[0] != NO_CSM],
    )


def iter_list_rows(
    engine: sa.Engine, user: User, filters: ListFilters, as_of: date
) -> Iterator[dict[str, Any]]:
    """Yield every row that matches the filters, for a file."""
    query = (
        _select_rows(_FILE_COLUMNS)
        .where(*_restrict_to_user(user, as_of), *_build_filters(filters, as_of))
        .order_by(*_build_sort_keys(filters, user))
    )
    with read_transaction(engine) as connection:
        for row in connection.execution_options(yield_per=1000).execute(query).mappings():
            yield dict(row)


def has_csms(engine: sa.Engine, as_of: date) -> bool:
    """Return True if any account of a list has a CSM; otherwise portfolios are not shown."""
    query = sa.select(LIST_INDEX.c.csm).where(
        LIST_INDEX.c.as_of == as_of, LIST_INDEX.c.csm.is_not(None)
    )
    with read_transaction(engine) as connection:
        return connection.scalar(query.limit(1)) is not None


def get_reference_date(as_of: date, today: date) -> date:
    """Return the day to compare dates with: today in the list's week, else the list's day."""
    return today if as_of <= today <= as_of + WEEK else as_of


def _restrict_to_user(user: User, as_of: date) -> list[sa.ColumnElement[bool]]:
    portfolio_filter = [] if user.csm is None else [LIST_INDEX.c.csm == user.csm]
    return [LIST_INDEX.c.as_of == as_of, *portfolio_filter]


def _select_rows(names: Sequence[str]) -> sa.Select[Any]:
    """Select rows of the active list, with the segment."""
    same_account = (SCORES.c.account_id == LIST_INDEX.c.account_id) & (
        SCORES.c.as_of == LIST_INDEX.c.as_of
    )
    return sa.select(*(SCORES.c[name] for name in names), LIST_INDEX.c.segment).select_from(
        LIST_INDEX.join(SCORES, same_account)
    )


def _build_when_filters(as_of: date) -> dict[str, sa.ColumnElement[bool]]:
    columns = LIST_INDEX.c
    return {
        "ready": columns.outreach_allowed.is_not(False) & (columns.readiness_date <= as_of + WEEK),
        "capacity": columns.in_weekly_capacity.is_(True),
        "alert": columns.account_id.in_(alerts.select_accounts_with_alerts(as_of)),
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
        "rank": columns.portfolio_rank.nulls_last() if one_portfolio else columns.rank,
        "name": sa.func.lower(sa.func.coalesce(columns.name, columns.account_id)),
        "probability": columns.probability.desc().nulls_last(),
        "ready": columns.readiness_date.nulls_last(),
        "arr": columns.expected_arr.desc().nulls_last(),
        "utilization": columns.seat_utilization.desc().nulls_last(),
    }
    return [sort_keys[filters.sort], columns.rank, columns.account_id]


def _build_count_query(visible: Sequence[sa.ColumnElement[bool]], as_of: date) -> sa.Select[Any]:
    """Count the accounts of each CSM and segment, in one scan of the list index."""
    return (
        sa.select(
            LIST_INDEX.c.csm,
            LIST_INDEX.c.segment,
            sa.func.count().label("listed"),
            *(
                sa.func.count(sa.case((condition, 1))).label(when)
                for when, condition in _build_when_filters(as_of).items()
            ),
        )
        .where(*visible)
        .group_by(LIST_INDEX.c.csm, LIST_INDEX.c.segment)
    )


def _count_choices(counts: Sequence[Any], name: str) -> list[tuple[str, int]]:
    """Return the values of a column with their number of accounts; missing values last."""
    counter: Counter[str] = Counter()
    for count in counts:
        counter[getattr(count, name) or NO_CSM] += count.listed
    return sorted(counter.items(), key=lambda choice: (choice[0] == NO_CSM, choice[0]))
