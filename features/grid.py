"""The log on a grid of 30-day months, counted back from an anchor; and the one cut in time.

Every as-of of an anchor is a grid line, so one fold of the log serves them all. Rows keep, beside
the month they happened in, the moment they became known: the cut asks for that and nothing else.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, TypeVar

import polars as pl

from data.settings import MONTH_DAYS
from features.activity import Activity
from features.contract import INSTANT

__all__ = ["Grid", "bit", "fold", "known_before"]

_PAIR: Final = ["account_id", "user_id", "feature"]
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
        ``sessions``, stretches of clock hours of one day with feature use; ``first_day`` and
        ``last_day`` of feature use, ``first_seat_day`` and ``last_seat_day`` of events that make a
        seat active.
    volume : polars.DataFrame
        Count, quantity (thousandths) and first day per account, role, feature, month and ``known``.
    first_uses : polars.DataFrame
        Per account, user and feature the first ``day`` of use, and when that became ``known``;
        another row for each earlier day that became known later.
    starts : polars.DataFrame
        First day of what became known in each month: where the log began, as seen from an as-of.
    """

    anchor: datetime
    people: pl.DataFrame
    volume: pl.DataFrame
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
        Four tables, in no order: all that is made of them is sums, extremes and counts.
    """
    # Month by month, so that memory does not grow with the length of the log.
    months = [_month(log, anchor, month) for month in range(_months(log.first_day, anchor))]
    people, volume, starts = (
        pl.concat(tables) for tables in zip(*(months or [_month(log, anchor, 0)]), strict=True)
    )
    return Grid(anchor, people, volume, _first_uses(log.first_uses, anchor), starts)


def bit(place: pl.Expr) -> pl.Expr:
    """Return the number whose only set bit is at a place, from 0 to 31."""
    return pl.lit(2, pl.UInt32).pow(place.cast(pl.UInt32)).cast(pl.UInt32)


def _months(first_day: date | None, anchor: datetime) -> int:
    """Months between the first day of the log and the anchor, the last one begun counted."""
    return 0 if first_day is None else -((first_day - anchor.date()).days // MONTH_DAYS)


def _month(
    log: Activity, anchor: datetime, month: int
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    people, volume = (
        _known(rows.filter(_during(anchor, month)), anchor) for rows in (log.people, log.volume)
    )
    back = pl.lit(month, pl.Int32).alias("month")
    role = volume.group_by("account_id", "role", "feature", "known").agg(
        pl.col("count", "quantity_milli").sum(), first_day=pl.col("day").min()
    )
    starts = volume.group_by("known").agg(first_day=pl.col("day").min())
    end = anchor - timedelta(days=month * MONTH_DAYS)
    plans = [_persons(people, end).with_columns(back), role.with_columns(back), starts]
    person, role_month, start = pl.collect_all(plans, engine="streaming")
    return person, role_month, start


def _persons(people: pl.LazyFrame, end: datetime) -> pl.LazyFrame:
    """One month of each person; a day that several rows tell of counts once."""
    key = ["account_id", "user_id", "known"]
    day = people.group_by(*key, "day").agg(
        pl.col("uses", "seat_uses").sum(), pl.col("hours").bitwise_or()
    )
    used = pl.when(pl.col("uses") > 0)
    ago = (pl.lit(end.date()) - pl.col("day")).dt.total_days() - 1
    hours = pl.col("hours")
    # Hours in use, less those that go on from the hour before.
    sessions = hours.bitwise_count_ones() - (hours & (hours * 2)).bitwise_count_ones()
    told = day.with_columns(
        sessions=sessions.cast(pl.Int64),
        days=used.then(bit(ago)),
        use_day=used.then("day"),
        seat_day=pl.when(pl.col("seat_uses") > 0).then("day"),
    )
    return told.group_by(key).agg(
        pl.col("uses").sum().alias("events"),
        pl.col("days").bitwise_or(),
        pl.col("sessions").sum(),
        first_day=pl.col("use_day").min(),
        last_day=pl.col("use_day").max(),
        first_seat_day=pl.col("seat_day").min(),
        last_seat_day=pl.col("seat_day").max(),
    )


def _first_uses(rows: pl.LazyFrame, anchor: datetime) -> pl.DataFrame:
    """First uses as known from each grid line on: nearly always one row, known at once."""
    known = rows.filter(pl.col("known_day") < anchor.date()).collect(engine="streaming").lazy()
    day, known_day = (pl.col(name).to_physical().cast(pl.Int64) for name in ("day", "known_day"))
    pairs = (
        known.group_by(_PAIR)
        # What was known earliest, and of that the first day, as one number that a minimum finds.
        .agg(pl.col("day").min(), earliest=(known_day * 2**20 + day).min())
        .collect(engine="streaming")
    )
    settled = day.eq(pl.col("earliest") % 2**20)
    known_on = (pl.col("earliest") // 2**20).cast(pl.Int32).cast(pl.Date)
    once = pairs.filter(settled).select(*_PAIR, "day", known_day=known_on)
    many = pairs.lazy().filter(~settled).select(_PAIR)
    late = _earlier_and_earlier(known.join(many, on=_PAIR, how="semi"))
    return pl.concat(
        [_known(rows, anchor).drop("known_day").collect() for rows in (once.lazy(), late)]
    )


def _earlier_and_earlier(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Of each person's first uses of a feature, those that precede all that was known before."""
    before = pl.col("day").cum_min().shift(1).over(_PAIR, order_by=["known_day", "day"])
    return rows.select(*_PAIR, "day", "known_day").filter(
        (pl.col("day") < before).fill_null(value=True)
    )


def _known(rows: pl.LazyFrame, anchor: datetime) -> pl.LazyFrame:
    """Say in which month a row became known; leave out what the anchor did not know."""
    last_day = pl.lit(anchor.date()) - pl.duration(days=1)
    heard = (last_day - pl.col("known_day")).dt.total_days() // MONTH_DAYS
    return rows.filter(pl.col("known_day") < anchor.date()).with_columns(
        known=pl.lit(anchor).cast(INSTANT) - pl.duration(days=(heard + 1) * MONTH_DAYS)
    )


def _during(anchor: datetime, month: int) -> pl.Expr:
    end = anchor.date() - timedelta(days=month * MONTH_DAYS)
    start = end - timedelta(days=MONTH_DAYS)
    return pl.col("day").is_between(start, end, closed="left")
