"""The log on a grid of 30-day months, counted back from an anchor; and the one cut in time.

Every as-of of an anchor is a grid line, so one fold of the log serves them all. Rows keep, beside
the month they happened in, the moment they became known: the cut asks for that and nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import polars as pl

from data.settings import MONTH_DAYS
from features.activity import Activity
from features.contract import INSTANT

__all__ = ["Grid", "bit", "fold", "known_before"]

_PERSON_MONTH: Final = ["account_id", "user_id", "month", "known"]
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@dataclass(frozen=True)
class Grid:
    """The log of one anchor, per 30-day month.

    ``month`` counts back from the anchor: 0 is [anchor − 30 d, anchor). ``known`` is the start of
    the month in which the row became known, so that ``known < as_of`` on every grid line says
    whether the row was known before it.

    Attributes
    ----------
    anchor : datetime.datetime
        The last as-of, 00:00 UTC.
    people : polars.DataFrame
        Per account, user, month and ``known``: ``events`` (feature uses); ``days``, the days of the
        month with feature use as 30 bits, so that a day counts once however often it was heard of;
        ``first_day`` and ``last_day`` of feature use, ``first_seat_day`` and ``last_seat_day`` of
        events that make a seat active.
    volume : polars.DataFrame
        Count, quantity (thousandths) and first day per account, role, feature, month and ``known``.
    starts : polars.DataFrame
        First day of what became known in each month: where the log began, as seen from an as-of.
    """

    anchor: datetime
    people: pl.DataFrame
    volume: pl.DataFrame
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


def fold(log: Activity, anchor: datetime) -> Grid:
    """Fold the daily activity into months counted back from an anchor.

    Parameters
    ----------
    log : features.activity.Activity
        The daily tables of all partitions.
    anchor : datetime.datetime
        The last as-of, 00:00 UTC; what was known at or after it is left out.

    Returns
    -------
    Grid
        Three tables, in no order: all that is made of them is sums, extremes and counts.
    """
    people = _monthly(log.people, anchor)
    volume = _monthly(log.volume, anchor)
    used, seated = pl.col("uses") > 0, pl.col("seat_uses") > 0
    person = people.group_by(_PERSON_MONTH).agg(
        events=pl.col("uses").sum(),
        days=pl.when(used).then(bit(pl.col("day_of_month"))).bitwise_or(),
        first_day=pl.col("day").filter(used).min(),
        last_day=pl.col("day").filter(used).max(),
        first_seat_day=pl.col("day").filter(seated).min(),
        last_seat_day=pl.col("day").filter(seated).max(),
    )
    role = volume.group_by("account_id", "role", "feature", "month", "known").agg(
        pl.col("count", "quantity_milli").sum(), first_day=pl.col("day").min()
    )
    starts = volume.group_by("known").agg(first_day=pl.col("day").min())
    return Grid(anchor, *pl.collect_all([person, role, starts], engine="streaming"))


def bit(place: pl.Expr) -> pl.Expr:
    """Return the number whose only set bit is at a place, from 0 to 31."""
    return pl.lit(2, pl.UInt32).pow(place.cast(pl.UInt32)).cast(pl.UInt32)


def _monthly(rows: pl.LazyFrame, anchor: datetime) -> pl.LazyFrame:
    """Say in which month a row happened, and in which it became known."""
    last_day = pl.lit(anchor.date()) - pl.duration(days=1)
    ago = (last_day - pl.col("day")).dt.total_days()
    heard = (last_day - pl.col("known_day")).dt.total_days() // MONTH_DAYS
    return rows.filter(pl.col("known_day") < anchor.date()).with_columns(
        month=(ago // MONTH_DAYS).cast(pl.Int32),
        day_of_month=ago % MONTH_DAYS,
        known=pl.lit(anchor).cast(INSTANT) - pl.duration(days=(heard + 1) * MONTH_DAYS),
    )
