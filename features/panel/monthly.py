"""The log on a grid of 30-day months, counted back from an anchor; and the one cut in time.

Every as-of of an anchor is a grid line, so one fold of the log serves them all. Rows keep, beside
the month they happened in, the moment they became known: the cut asks for that and nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import polars as pl

from data.config.settings import MONTH_DAYS
from features.activity import daily_aggregates, first_seen
from features.activity.daily_tables import Activity
from features.subscription_timeline import UTC_DATETIME

__all__ = ["MonthlyGrid", "aggregate_monthly", "bit_flag", "known_before"]

_USER_KEYS: Final = ("account_id", "user_id")
_ROLE_KEYS: Final = ("account_id", "role")
_FEATURE_ROLES: Final = ("use", "integration")  # roles whose features are told apart
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@dataclass(frozen=True)
class MonthlyGrid:
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
        ``sessions``, stretches of clock hours of one day with feature use;
        ``first_seat_day`` and ``last_seat_day`` of events that make a seat active.
    roles : polars.DataFrame
        ``count`` and ``quantity_milli`` per account, role, month and ``known``.
    features : polars.DataFrame
        One row per account, role, feature, month and ``known``: use and integrations only.
    first_uses, first_people, first_features : polars.DataFrame
        Over the whole log, the first ``day`` per account, user and feature; per account, user and
        whether it was feature use and an active seat; and per account, role and feature; and when
        that became ``known``; another row for each earlier day that became known later. ``several``
        says whether there is more than one row.
    """

    anchor: datetime
    people: pl.DataFrame
    roles: pl.DataFrame
    features: pl.DataFrame
    first_uses: pl.DataFrame
    first_people: pl.DataFrame
    first_features: pl.DataFrame

    def months_before_anchor(self, as_of: datetime) -> int:
        """Months from the anchor back to an as-of on the grid."""
        days = (self.anchor - as_of).days
        if days < 0 or days % MONTH_DAYS:
            raise ValueError(f"{as_of:%Y-%m-%d} is no grid line of {self.anchor:%Y-%m-%d}")
        return days // MONTH_DAYS


def known_before(rows: Frame, as_of: datetime) -> Frame:
    """Let a row through only when it was known strictly before the as-of: the one cut."""
    return rows.filter(pl.col("known") < as_of)


def aggregate_monthly(
    log: Activity, anchor: datetime, *, months: int, detail_months: int
) -> MonthlyGrid:
    """Fold the daily activity into months counted back from an anchor.

    Parameters
    ----------
    log : features.activity.daily_tables.Activity
        The daily tables of all partitions.
    anchor : datetime.datetime
        The last as-of, 00:00 UTC; what was known at or after it is left out.
    months : int
        How many months, back from the anchor, are folded: what it costs does not grow with the log.
    detail_months : int
        For how many of them days, sessions and features are told.

    Returns
    -------
    MonthlyGrid
        Its tables in no order: all that is made of them is sums, extremes and counts.
    """
    logged = -((log.first_day - anchor.date()).days // MONTH_DAYS) if log.first_day else 0
    folded = max(min(logged, months), 1)
    since = (anchor - timedelta(days=folded * MONTH_DAYS)).date()
    monthly = partial(_aggregate_months, anchor=anchor, months=folded, depth_months=detail_months)
    people = log.aggregate(
        "people", _USER_KEYS, partial(monthly, told=_aggregate_users), since=since
    )
    counts = log.aggregate(
        "volume", _ROLE_KEYS, partial(monthly, told=_aggregate_counts), since=since
    )
    key = [*_ROLE_KEYS, "month", "known"]
    named = pl.col("role").is_in(_FEATURE_ROLES), pl.col("month") < detail_months
    return MonthlyGrid(
        anchor=anchor,
        people=people,
        roles=counts.group_by(key).agg(pl.col("count", "quantity_milli").sum()),
        features=counts.filter(named).select(*key, "feature"),
        **{
            table: _load_first_seen(log, table, key, anchor)
            for table, key in daily_aggregates.FIRST_KEYS.items()
        },
    )


def bit_flag(position: pl.Expr) -> pl.Expr:
    """Return the number whose only set bit is at a place, from 0 to 31."""
    return pl.lit(2, pl.UInt32).pow(position.cast(pl.UInt32)).cast(pl.UInt32)


def _aggregate_months(
    rows: pl.LazyFrame,
    *,
    told: Callable[..., pl.LazyFrame],
    anchor: datetime,
    months: int,
    depth_months: int,
) -> pl.DataFrame:
    """What is told of each month, of the last ones in depth."""
    # Month by month, so that memory does not grow with the length of the log.
    found = [
        told(_select_month(rows, month, anchor), deep=month < depth_months)
        .with_columns(month=pl.lit(month, pl.Int32))
        .collect(engine="streaming")
        for month in range(months)
    ]
    return pl.concat(found, how="diagonal")


def _select_month(rows: pl.LazyFrame, month: int, anchor: datetime) -> pl.LazyFrame:
    """The rows of a month, how many of its days came after, and when they became known.

    What the anchor did not know is left out.
    """
    end = anchor - timedelta(days=month * MONTH_DAYS)
    start, last_day = end - timedelta(days=MONTH_DAYS), anchor - timedelta(days=1)
    heard = (pl.lit(last_day.date()) - pl.col("known_day")).dt.total_days() // MONTH_DAYS
    return rows.filter(
        pl.col("day").is_between(start.date(), end.date(), closed="left"),
        pl.col("known_day") < anchor.date(),
    ).with_columns(
        ago=(pl.lit(end.date()) - pl.col("day")).dt.total_days() - 1,
        known=pl.lit(anchor).cast(UTC_DATETIME) - pl.duration(days=(heard + 1) * MONTH_DAYS),
    )


def _aggregate_counts(volume: pl.LazyFrame, *, deep: bool) -> pl.LazyFrame:
    """What was counted of each role; if deep, of each of its features."""
    key = [*_ROLE_KEYS, "known", *(["feature"] if deep else [])]
    return volume.group_by(key).agg(pl.col("count", "quantity_milli").sum())


def _aggregate_users(people: pl.LazyFrame, *, deep: bool) -> pl.LazyFrame:
    """What each person did; a day that several rows tell of counts once."""
    key, depth = [*_USER_KEYS, "known"], []
    rows = people
    if deep:
        sums, hours = pl.col("uses", "seat_uses").sum(), pl.col("hours")
        rows = people.group_by(*key, "day", "ago").agg(sums, hours.bitwise_or())
        # Hours in use, less those that go on from the hour before.
        sessions = hours.bitwise_count_ones() - (hours & (hours * 2)).bitwise_count_ones()
        rows = rows.with_columns(
            days=pl.when(pl.col("uses") > 0).then(bit_flag(pl.col("ago"))),
            sessions=sessions.cast(pl.Int64),
        )
        depth = [pl.col("days").bitwise_or(), pl.col("sessions").sum()]
    seated = rows.with_columns(seat_day=pl.when(pl.col("seat_uses") > 0).then("day"))
    return seated.group_by(key).agg(
        pl.col("uses").sum().alias("events"),
        *depth,
        first_seat_day=pl.col("seat_day").min(),
        last_seat_day=pl.col("seat_day").max(),
    )


def _load_first_seen(
    log: Activity, table: str, key: Sequence[str], anchor: datetime
) -> pl.DataFrame:
    """The first day of each key, with the moment from which it was known."""
    found = log.aggregate(table, key, partial(_first_seen_before, key=key, anchor=anchor))
    return found.with_columns(known=pl.col("known_day").cast(UTC_DATETIME)).drop("known_day")


def _first_seen_before(rows: pl.LazyFrame, *, key: Sequence[str], anchor: datetime) -> pl.DataFrame:
    return first_seen.first_seen_by_known_date(
        rows.filter(pl.col("known_day") < anchor.date()), key
    )
