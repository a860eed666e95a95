"""What there was to be found: every expansion, day by day, and what became of every flag."""

from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import Outcome
from training.backtest.utilization import DailyUtilization
from training.labels import MAX_HORIZON_DAYS, build_outcomes, expanded_within

__all__ = [
    "UTILIZATION_LOOKBACK_DAYS",
    "compute_maturity_date",
    "find_expansions",
    "find_first_full_day",
    "label_flags",
]

UTILIZATION_LOOKBACK_DAYS: Final = MAX_HORIZON_DAYS
Days = NDArray[np.int64]


def find_expansions(contracts: pl.DataFrame, *, end: datetime, rules: Outcome) -> pl.DataFrame:
    """Find every expansion that was known, and settled, before a moment.

    An expansion of a day is what :mod:`training.labels` calls one within a day of that day's
    morning: an organic rise above the levels of that morning, on the day it was booked. It can only
    lie on a day on which something was booked, so no other is asked. A rise after a fall counts,
    also where it only restores a level of some weeks before; to a snapshot from before the fall it
    is none.

    Parameters
    ----------
    contracts : polars.DataFrame
        :func:`features.subscription_timeline.build_timeline`.
    end : datetime.datetime
        Only rows known before this moment, UTC, are read.
    rules : data.config.settings.Outcome
        What counts as an expansion.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``day``; ``before``, the account's expansion before this one, or null; and
        ``since``, the day after that, or the first of the last 180 where that is later: from then
        on its use is held against it. Ordered by account and day.
    """
    keys = contracts.select("account_id", as_of=pl.col("known").dt.date()).unique()
    labels = build_outcomes(keys.sort("account_id", "as_of"), contracts, cutoff=end, rules=rules)
    return (
        labels.filter(expanded_within(1))
        .select("account_id", day="as_of")
        .sort("account_id", "day")
        .with_columns(before=pl.col("day").shift(1).over("account_id"))
        .with_columns(
            since=pl.max_horizontal(
                pl.col("day") - pl.duration(days=UTILIZATION_LOOKBACK_DAYS - 1),
                pl.col("before") + pl.duration(days=1),
            )
        )
    )


def label_flags(
    flags: pl.DataFrame, contracts: pl.DataFrame, *, end: datetime, rules: Outcome, within_days: int
) -> pl.Series:
    """Say of each flag whether an expansion followed; null while that is not known.

    Parameters
    ----------
    flags : polars.DataFrame
        ``account_id``, ``day``: the morning on which the account was flagged.
    contracts, end, rules
        As for :func:`find_expansions`.
    within_days : int
        Days from the flag's own, the end excluded.

    Returns
    -------
    polars.Series
        In the order of the flags.
    """
    keys = flags.select("account_id", as_of="day")
    labels = build_outcomes(keys, contracts, cutoff=end, rules=rules)
    return labels.select(expanded=expanded_within(within_days))["expanded"]


def compute_maturity_date(end: date, rules: Outcome) -> date:
    """The first day of which it is not yet known whether an account expanded."""
    return end - timedelta(days=rules.booking_lag_days + rules.revert_days)


def find_first_full_day(
    expansions: pl.DataFrame, daily: DailyUtilization, *, threshold: float
) -> pl.Series:
    """Find the morning on which an account first stood at a share of its seats or usage.

    Parameters
    ----------
    expansions : polars.DataFrame
        From :func:`find_expansions`, of days that ``daily`` holds.
    daily : training.backtest.utilization.DailyUtilization
        From at least ``FULL_WITHIN_DAYS`` before them.
    threshold : float
        Of the limit.

    Returns
    -------
    polars.Series
        The first such morning from ``since`` up to the expansion's own; null where there is none.
    """
    rows = expansions.join(
        pl.DataFrame({"account_id": daily.accounts}).with_row_index("row"),
        on="account_id",
        maintain_order="left",
    ).with_columns(
        (pl.col(name) - pl.lit(daily.first_day)).dt.total_days() for name in ("day", "since")
    )
    last, since = rows["day"].to_numpy(), rows["since"].to_numpy()
    column = since[:, None] + np.arange(UTILIZATION_LOOKBACK_DAYS)
    in_window = (column <= last[:, None]) & (column >= 0)
    clipped = np.where(in_window, column, 0)
    is_full = in_window & (
        daily.max_utilization[rows["row"].to_numpy()[:, None], clipped] >= threshold
    )
    first = since + is_full.argmax(axis=1)
    days = pl.Series("full_from", np.where(is_full.any(axis=1), first, -1))
    return (
        pl.DataFrame({"days": days})
        .select(
            full_from=pl.when(pl.col("days") >= 0).then(
                pl.lit(daily.first_day) + pl.duration(days=pl.col("days"))
            )
        )["full_from"]
        .cast(pl.Date)
    )
