"""A few accounts as they stand this moment: the same features, with today's events on top.

The as-of is the coming midnight: of a day that is not over, all that is known by now counts, and
the windows are those that a batch at that midnight would have. What the features of an account ask
of all others is that of the last weekly list.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Final

import narwhals as nw
import polars as pl

from data.contracts import Checked
from data.settings import Roles, Seats, Settings
from data.sources import Tables
from features import daily, panel, spreading
from features.activity import Activity
from features.panel import Around, Panel
from features.rows import NAME, Made

__all__ = ["around", "as_of", "build", "with_tail"]

_DERIVED: Final = {
    "first_people": (daily.first_people, "people"),
    "first_features": (daily.first_features, "volume"),
}


def as_of(day: date) -> datetime:
    """The as-of of a day that is not over: 00:00 UTC of the next."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def around(log: Activity, tables: Tables, moment: datetime, settings: Settings) -> Around:
    """Gather what the features of a few accounts will ask of all others.

    Parameters
    ----------
    log, tables
        Of all accounts.
    moment : datetime.datetime
        As-of of the last weekly list, 00:00 UTC; what was known later is not looked at.
    settings : data.settings.Settings
        As for :func:`features.panel.build`.
    """
    pairs = (
        log.first_uses.filter(pl.col("known_day") < moment.date())
        .select("account_id", "feature")
        .unique()
        .collect(engine="streaming")
    )
    advanced = settings.adoption.advanced or tuple(
        sorted(spreading.rare(pairs, settings.adoption.rare_share))
    )
    built = panel.build(log, tables, [moment], settings)
    (began,) = log.began([moment])
    return Around(began or moment.date(), advanced, built.peers)


def build(
    log: Activity,
    tables: Tables,
    events: pl.DataFrame,
    *,
    accounts: Sequence[str],
    day: date,
    settings: Settings,
    beside: Around,
) -> Panel:
    """Compute the features of a few accounts at a moment of a day.

    Parameters
    ----------
    log, tables
        Of all accounts, as the weekly job reads them.
    events : polars.DataFrame
        Rows under :class:`data.contracts.Events` that are not in the log; those of other accounts
        are left out.
    accounts : sequence of str
        Which.
    day : datetime.date
        The day of the moment, UTC.
    settings : data.settings.Settings
        As for :func:`features.panel.build`.
    beside : features.panel.Around
        From :func:`around`.
    """
    some = pl.Series("account_id", sorted(set(accounts)), dtype=pl.String)
    tail = with_tail(log, events, some, roles=settings.roles, seats=settings.seats)
    # People may use the product at another account than the one they are entered under.
    few = replace(
        tables,
        accounts=_among(tables.accounts, some),
        subscriptions=_among(tables.subscriptions, some),
    )
    return panel.build(tail, few, [as_of(day)], settings, around=beside)


def with_tail(
    log: Activity, events: pl.DataFrame, accounts: pl.Series, *, roles: Roles, seats: Seats
) -> Activity:
    """Give the log of a few accounts, and on top of it events that are not in it.

    Parameters
    ----------
    log : features.activity.Activity
        Of all accounts.
    events : polars.DataFrame
        Rows under :class:`data.contracts.Events`.
    accounts : polars.Series
        Which.
    roles, seats
        As for :func:`features.daily.named`.
    """
    rows = events.filter(pl.col("account_id").is_in(accounts.implode()))
    named = daily.named(nw.from_native(rows.lazy()), roles=roles, seats=seats)
    made = {
        name: table(named).to_native().collect()
        for name, table in (
            ("people", daily.people),
            ("volume", daily.volume),
            ("first_uses", daily.first_uses),
        )
    }
    for name, (table, of) in _DERIVED.items():
        made[name] = table(nw.from_native(made[of].lazy())).to_native().collect()
    names = accounts.cast(NAME).implode()
    whole = {}
    for name, found in made.items():
        lazy: pl.LazyFrame = getattr(log, name)
        kinds = lazy.collect_schema()
        whole[name] = found.select(pl.col(column).cast(kind) for column, kind in kinds.items())

    def fold(
        table: str, key: Sequence[str], made: Made, *, since: date | None = None
    ) -> pl.DataFrame:
        # The log's engine finds the accounts' rows; few enough to be folded here.
        held = log.fold(table, key, partial(_of, names=names), since=since)
        late = whole[table] if since is None else whole[table].filter(pl.col("day") >= since)
        return made(pl.concat([held, late]).lazy())

    tables = {
        name: pl.concat([getattr(log, name).filter(pl.col("account_id").is_in(names)), late.lazy()])
        for name, late in whole.items()
    }
    return replace(log, fold=fold, **tables)


def _of(rows: pl.LazyFrame, *, names: pl.Series) -> pl.DataFrame:
    return rows.filter(pl.col("account_id").is_in(names)).collect(engine="streaming")


def _among(table: Checked, accounts: pl.Series) -> Checked:
    return replace(table, rows=table.rows.filter(pl.col("account_id").is_in(accounts.implode())))
