"""Streak of days with high seat utilization."""

from datetime import datetime
from typing import Final

import polars as pl

from data.config.settings import MONTH_DAYS
from features.panel.user_activity import SEAT_DAY_MONTHS, was_active

__all__ = ["HIGH_UTILIZATION", "MAX_DAYS", "days_above_threshold"]

HIGH_UTILIZATION: Final = 0.8
MAX_DAYS: Final = SEAT_DAY_MONTHS * MONTH_DAYS


def days_above_threshold(
    users: pl.DataFrame, timeline: pl.DataFrame, as_of: datetime, *, seat_months: int, log_days: int
) -> pl.DataFrame:
    """Count consecutive days of high seat utilization, back from the as-of.

    ``users`` are those of :func:`features.panel.user_activity.user_activity_as_of`; the rows of the
    subscription ``timeline`` were known before the as-of. Before the ``log_days`` no user is known
    to have been active.

    Returns
    -------
    polars.DataFrame
        ``account_id`` and ``days_above``, from 1 to ``MAX_DAYS``; other accounts have no such day.
    """
    licensed = _licensed_seats_by_day(timeline, as_of)
    current_seats = licensed.filter(pl.col("ago") == 0).select("account_id", "seats")
    paid_users = users.lazy().filter("paid").with_columns(pl.col("account_id").cast(pl.String))
    # Accounts below the threshold now have a streak of zero and need no counting.
    candidates = (
        paid_users.group_by("account_id")
        .agg(was_active("seat", 0, seat_months).sum().alias("active"), pl.len().alias("people"))
        .join(current_seats.lazy(), on="account_id")
        .filter(pl.col("active") > HIGH_UTILIZATION * pl.col("seats"))
        .select("account_id", "people")
        .collect()
    )
    idle_changes = _count_idle_changes(
        paid_users.join(candidates.lazy(), on="account_id", how="semi"), seat_months
    )
    days = candidates.join(licensed, on="account_id").join(
        idle_changes, on=["account_id", "ago"], how="left"
    )
    active_seats = pl.col("people") - pl.col("idle").fill_null(0).cum_sum().over(
        "account_id", order_by="ago"
    )
    is_covered = pl.col("ago") + seat_months * MONTH_DAYS <= log_days
    is_high = (active_seats > HIGH_UTILIZATION * pl.col("seats")).fill_null(value=False)
    return (
        days.with_columns(high=is_high & is_covered)
        .group_by("account_id")
        .agg(days_above=pl.col("ago").filter(~pl.col("high")).min().fill_null(MAX_DAYS))
    )


def _count_idle_changes(users: pl.LazyFrame, seat_months: int) -> pl.DataFrame:
    """Return the net change in idle users per day, going back in time.

    A window of whole months that ends inside a month leaves out the month's newest days and takes
    in as many of the month before the window's last. So a user is idle on the days after the
    oldest active day of the one, up to the newest active day of the other.
    """
    changes = []
    for month in range(SEAT_DAY_MONTHS):
        inner_months = range(month + 1, month + seat_months)
        is_active_inside = pl.any_horizontal(
            pl.lit(value=False), *(pl.col(f"newest_m{back}").is_not_null() for back in inner_months)
        )
        start = pl.col(f"oldest_m{month}").fill_null(-1) + 1
        end = pl.col(f"newest_m{month + seat_months}").fill_null(MONTH_DAYS - 1) + 1
        idle_users = users.filter(~is_active_inside, start < end)
        for day, change in ((start, 1), (end, -1)):
            ago = (day + month * MONTH_DAYS).cast(pl.Int64)
            changes.append(idle_users.select("account_id", ago=ago, idle=pl.lit(change, pl.Int64)))
    return pl.concat(changes).group_by("account_id", "ago").agg(pl.col("idle").sum()).collect()


def _licensed_seats_by_day(timeline: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return licensed seats in force ``ago`` days before the as-of; the last known row applies."""
    terms = timeline.select("account_id", "effective", "seats").unique(
        ["account_id", "effective"], keep="last", maintain_order=True
    )
    days = pl.DataFrame({"ago": range(MAX_DAYS)}).with_columns(
        effective=pl.lit(as_of) - pl.duration(days=pl.col("ago"))
    )
    accounts = terms.select("account_id").unique()
    account_days = accounts.join(days, how="cross").sort("effective")
    return account_days.join_asof(
        terms.sort("effective", maintain_order=True),
        on="effective",
        by="account_id",
        check_sortedness=False,
    ).select("account_id", "ago", "seats")
