"""The log on a grid of 30-day months, counted back from an anchor; and the one cut in time.

Every as-of of an anchor is a grid line, so one fold of the log serves them all. Rows keep, beside
the month they happened in, the moment they became known: the cut asks for that and nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import polars as pl

from data.settings import MONTH_DAYS
from features.contract import INSTANT

__all__ = ["Grid", "fold", "known_before"]

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
        Feature use per account, user, month and ``known``: active days, first and last of them,
        events. A day counts once, from when it was first known; an event from when it was known.
    seats : polars.DataFrame
        Active days of the events that make a seat active, likewise.
    volume : polars.DataFrame
        Count, quantity (thousandths) and first day per account, role, feature, month and ``known``.
    starts : polars.DataFrame
        First day of what became known in each month: where the log began, as seen from an as-of.
    """

    anchor: datetime
    people: pl.DataFrame
    seats: pl.DataFrame
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


def fold(daily: pl.LazyFrame, anchor: datetime) -> Grid:
    """Fold the daily activity into months counted back from an anchor.

    Parameters
    ----------
    daily : polars.LazyFrame
        The activity tables of all partitions, as :func:`features.activity.daily` makes them.
    anchor : datetime.datetime
        The last as-of, 00:00 UTC; what was known at or after it is left out.

    Returns
    -------
    Grid
        Four tables in a stated order, as small as the months allow.
    """
    last_day = pl.lit(anchor).cast(pl.Date) - pl.duration(days=1)
    month = ((last_day - pl.col("day")).dt.total_days() // MONTH_DAYS).cast(pl.Int32)
    age = (last_day - pl.col("known_day")).dt.total_days() // MONTH_DAYS
    known = (pl.lit(anchor).cast(INSTANT) - pl.duration(days=(age + 1) * MONTH_DAYS)).alias("known")
    rows = daily.filter(pl.col("known_day") < pl.lit(anchor).cast(pl.Date))
    uses = rows.filter(pl.col("role") == "use", pl.col("user_id").is_not_null())
    people, seats, volume, starts = pl.collect_all(
        [
            _with_events(_per_user(uses, month, known), uses, month, known),
            _per_user(rows.filter("seat", pl.col("user_id").is_not_null()), month, known),
            rows.group_by("account_id", "role", "feature", month.alias("month"), known)
            .agg(
                pl.col("count").sum(), pl.col("quantity_milli").sum(), first_day=pl.col("day").min()
            )
            .sort("account_id", "role", "feature", "month", "known"),
            rows.group_by(known).agg(first_day=pl.col("day").min()).sort("known"),
        ],
        engine="streaming",
    )
    return Grid(anchor, people, seats, volume, starts)


def _per_user(rows: pl.LazyFrame, month: pl.Expr, known: pl.Expr) -> pl.LazyFrame:
    # A day counts once, from the day it was first known to be active.
    days = rows.group_by("account_id", "user_id", "day").agg(pl.col("known_day").min())
    return (
        days.group_by("account_id", "user_id", month.alias("month"), known)
        .agg(
            active_days=pl.len().cast(pl.Int32),
            first_day=pl.col("day").min(),
            last_day=pl.col("day").max(),
        )
        .sort(_PERSON_MONTH)
    )


def _with_events(
    days: pl.LazyFrame, rows: pl.LazyFrame, month: pl.Expr, known: pl.Expr
) -> pl.LazyFrame:
    # Counted apart: more of a day may become known after the day itself did.
    events = rows.group_by("account_id", "user_id", month.alias("month"), known).agg(
        events=pl.col("count").sum()
    )
    return (
        events.join(days, on=_PERSON_MONTH, how="left")
        .with_columns(pl.col("active_days").fill_null(0))
        .sort(_PERSON_MONTH)
    )
