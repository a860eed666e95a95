"""Seat utilisation day by day: for how many days in a row it has been high."""

from datetime import datetime
from typing import Final

import polars as pl

from data.settings import MONTH_DAYS
from features.persons import SEAT_DAY_MONTHS

__all__ = ["HIGH_UTILIZATION", "MOST_DAYS", "above"]

HIGH_UTILIZATION: Final = 0.8
MOST_DAYS: Final = SEAT_DAY_MONTHS * MONTH_DAYS


def above(
    persons: pl.DataFrame, signed: pl.DataFrame, as_of: datetime, *, seat_months: int, log_days: int
) -> pl.DataFrame:
    """Count the days in a row, back from the as-of, on which utilisation was high.

    Parameters
    ----------
    persons : polars.DataFrame
        :func:`features.persons.at`.
    signed : polars.DataFrame
        Rows of :func:`features.contract.timeline` that were known before the as-of.
    as_of : datetime.datetime
        00:00 UTC.
    seat_months : int
        Length of the seat window, in 30-day months.
    log_days : int
        Days of log before the as-of; before them nobody is known to have been active.

    Returns
    -------
    polars.DataFrame
        ``account_id`` and ``days_above``, from 0 to ``MOST_DAYS``; accounts without a person are
        not in it.
    """
    used = _active_seats(persons, seat_months)
    days = used.join(_licensed(signed, as_of), on=["account_id", "ago"], how="left")
    logged = pl.col("ago") + seat_months * MONTH_DAYS <= log_days
    high = (pl.col("active") > HIGH_UTILIZATION * pl.col("seats")).fill_null(value=False)
    return days.group_by("account_id").agg(
        days_above=pl.col("ago").filter(~(high & logged)).min().fill_null(MOST_DAYS)
    )


def _active_seats(persons: pl.DataFrame, seat_months: int) -> pl.DataFrame:
    """Active seats of each account as they stood ``ago`` days before the as-of.

    A window of whole months that ends inside a month leaves out the month's newest days and takes
    in as many of the month before the window's last. So a person is inactive on the days after
    the oldest active day of the one, up to the newest active day of the other.
    """
    idle = []
    for month in range(SEAT_DAY_MONTHS):
        between = range(month + 1, month + seat_months)
        inside = pl.any_horizontal(
            pl.lit(value=False), *(pl.col(f"newest_m{back}").is_not_null() for back in between)
        )
        start = pl.col(f"oldest_m{month}").fill_null(-1) + 1
        end = pl.col(f"newest_m{month + seat_months}").fill_null(MONTH_DAYS - 1)
        idle += [
            (~inside & start.le(day) & end.ge(day)).sum().alias(str(month * MONTH_DAYS + day))
            for day in range(MONTH_DAYS)
        ]
    counted = persons.lazy().filter("paid").group_by("account_id").agg(*idle, people=pl.len())
    return (
        counted.unpivot(index=["account_id", "people"], variable_name="ago", value_name="idle")
        .select(
            pl.col("account_id").cast(pl.String),
            pl.col("ago").cast(pl.Int64),
            active=pl.col("people").cast(pl.Int64) - pl.col("idle"),
        )
        .collect()
    )


def _licensed(signed: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Licensed seats in force ``ago`` days before the as-of; of one date the row known last."""
    terms = signed.select("account_id", "effective", "seats").unique(
        ["account_id", "effective"], keep="last", maintain_order=True
    )
    days = pl.DataFrame({"ago": range(MOST_DAYS)}).with_columns(
        effective=pl.lit(as_of) - pl.duration(days=pl.col("ago"))
    )
    accounts = terms.select("account_id").unique()
    asked = accounts.join(days, how="cross").sort("effective")
    return asked.join_asof(
        terms.sort("effective", maintain_order=True),
        on="effective",
        by="account_id",
        check_sortedness=False,
    ).select("account_id", "ago", "seats")
