"""The log on a grid of 30-day months, counted back from an anchor; and the one cut in time.

Every as-of of an anchor is a grid line, so one fold of the log serves them all. Rows keep, beside
the month they happened in, the moment they became known: the cut asks for that and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, TypeVar

import polars as pl

from data.settings import MONTH_DAYS
from features import firsts
from features.activity import Activity
from features.contract import INSTANT

__all__ = ["Grid", "bit", "fold", "known_before"]

_NAMED: Final = ("use", "integration")  # roles whose features are told apart
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@dataclass(frozen=True)
class Grid:
    """The log of one anchor, per 30-day month.

    ``month`` counts back from the anchor: 0 is [anchor − 30 d, anchor). ``known`` is a moment that
    lies before an as-of on the grid exactly when the row was known before it.

    Attributes
    ----------
    anchor : datetime.datetime
        The last as-of, 00:00 UTC.
    people : polars.DataFrame
        Per account, user, month and ``known``: ``events`` (feature uses); ``days``, the days of the
        month with feature use as 30 bits, so that a day counts once however often it was heard of;
        ``sessions``, stretches of clock hours of one day with feature use; ``first_day`` of feature
        use, ``first_seat_day`` and ``last_seat_day`` of events that make a seat active.
    roles : polars.DataFrame
        ``count``, ``quantity_milli`` and ``first_day`` per account, role, month and ``known``.
    features : polars.DataFrame
        One row per account, role, feature, month and ``known``: use and integrations only.
    first_features, first_uses : polars.DataFrame
        The first ``day`` per account, role and feature, and per account, user and feature, and when
        that became ``known``; another row for each earlier day that became known later. ``several``
        says whether there is more than one row.
    starts : polars.DataFrame
        First day of what became known in each month: where the log began, as seen from an as-of.
    """

    anchor: datetime
    people: pl.DataFrame
    roles: pl.DataFrame
    features: pl.DataFrame
    first_features: pl.DataFrame
    first_uses: pl.DataFrame
    starts: pl.DataFrame

    def back(self, as_of: datetime) -> int:
        """Months from the anchor back to an as-of on the grid."""
        days = (self.anchor - as_of).days
        if days < 0 or days % MONTH_DAYS:
            raise ValueError(f"{as_of:%Y-%m-%d} is no grid line of {self.anchor:%Y-%m-%d}")
        return days // MONTH_DAYS


def known_before(rows: Frame, as_of: datetime) -> Frame:
    """Let a row through only when it was known strictly before the as-of: the one cut."""
    return rows.filter(pl.col("known") < as_of)


def fold(log: Activity, anchor: datetime, *, depth_months: int | None = None) -> Grid:
    """Fold the daily activity into months counted back from an anchor.

    Parameters
    ----------
    log : features.activity.Activity
        The daily tables of all partitions.
    anchor : datetime.datetime
        The last as-of, 00:00 UTC; what was known at or after it is left out.
    depth_months : int, optional
        For how many months, back from the anchor, days and sessions are counted; by default all.

    Returns
    -------
    Grid
        Its tables in no order: all that is made of them is sums, extremes and counts.
    """
    # Month by month, so that memory does not grow with the length of the log.
    count = max(_months(log.first_day, anchor), 1)
    deep = count if depth_months is None else depth_months
    months = [_month(log, anchor, month, deep=month < deep) for month in range(count)]
    people, roles, features, starts = (
        pl.concat(tables, how="diagonal") for tables in zip(*months, strict=True)
    )
    uses = log.first_uses.filter(pl.col("known_day") < anchor.date())
    return Grid(
        anchor=anchor,
        people=people,
        roles=roles,
        features=features.drop("day"),
        first_features=_firsts(
            features.lazy().with_columns(known_day=pl.col("known").dt.date()),
            ["account_id", "role", "feature"],
        ),
        first_uses=_firsts(uses, firsts.KEYS),
        starts=starts,
    )


def bit(place: pl.Expr) -> pl.Expr:
    """Return the number whose only set bit is at a place, from 0 to 31."""
    return pl.lit(2, pl.UInt32).pow(place.cast(pl.UInt32)).cast(pl.UInt32)


def _months(first_day: date | None, anchor: datetime) -> int:
    """Months between the first day of the log and the anchor, the last one begun counted."""
    return 0 if first_day is None else -((first_day - anchor.date()).days // MONTH_DAYS)


def _month(log: Activity, anchor: datetime, month: int, *, deep: bool) -> list[pl.DataFrame]:
    """The people, roles, features and starts of one month."""
    end = anchor - timedelta(days=month * MONTH_DAYS)
    people, volume = (_during(rows, end, anchor) for rows in (log.people, log.volume))
    back, day = pl.lit(month, pl.Int32).alias("month"), pl.col("day").min()
    feature = volume.group_by("account_id", "role", "feature", "known").agg(
        pl.col("count", "quantity_milli").sum(), day
    )
    persons, features = pl.collect_all(
        [_persons(people, end, deep=deep), feature], engine="streaming"
    )
    roles = features.group_by("account_id", "role", "known").agg(
        pl.col("count", "quantity_milli").sum(), first_day=day
    )
    return [
        persons.with_columns(back),
        roles.with_columns(back),
        features.filter(pl.col("role").is_in(_NAMED))
        .drop("count", "quantity_milli")
        .with_columns(back),
        roles.group_by("known").agg(pl.col("first_day").min()),
    ]


def _persons(people: pl.LazyFrame, end: datetime, *, deep: bool) -> pl.LazyFrame:
    """One month of each person; a day that several rows tell of counts once."""
    key, depth = ["account_id", "user_id", "known"], []
    rows = people
    if deep:
        sums, hours = pl.col("uses", "seat_uses").sum(), pl.col("hours")
        rows = people.group_by(*key, "day").agg(sums, hours.bitwise_or())
        ago = (pl.lit(end.date()) - pl.col("day")).dt.total_days() - 1
        # Hours in use, less those that go on from the hour before.
        sessions = hours.bitwise_count_ones() - (hours & (hours * 2)).bitwise_count_ones()
        rows = rows.with_columns(
            days=pl.when(pl.col("uses") > 0).then(bit(ago)), sessions=sessions.cast(pl.Int64)
        )
        depth = [pl.col("days").bitwise_or(), pl.col("sessions").sum()]
    told = rows.with_columns(
        use_day=pl.when(pl.col("uses") > 0).then("day"),
        seat_day=pl.when(pl.col("seat_uses") > 0).then("day"),
    )
    return told.group_by(key).agg(
        pl.col("uses").sum().alias("events"),
        *depth,
        first_day=pl.col("use_day").min(),
        first_seat_day=pl.col("seat_day").min(),
        last_seat_day=pl.col("seat_day").max(),
    )


def _during(rows: pl.LazyFrame, end: datetime, anchor: datetime) -> pl.LazyFrame:
    """The rows of the month before a moment, and in which month they became known.

    What the anchor did not know is left out.
    """
    start, last_day = end - timedelta(days=MONTH_DAYS), anchor - timedelta(days=1)
    heard = (pl.lit(last_day.date()) - pl.col("known_day")).dt.total_days() // MONTH_DAYS
    return rows.filter(
        pl.col("day").is_between(start.date(), end.date(), closed="left"),
        pl.col("known_day") < anchor.date(),
    ).with_columns(known=pl.lit(anchor).cast(INSTANT) - pl.duration(days=(heard + 1) * MONTH_DAYS))


def _firsts(rows: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
    """The first day of each key, with the moment from which it was known."""
    found = firsts.earliest(rows, key)
    return found.with_columns(known=pl.col("known_day").cast(INSTANT)).drop("known_day")
