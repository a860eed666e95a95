"""Expansions in the history, day by day, and the outcome of every flag."""

from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from data.config.settings import OutcomeConfig
from training.backtest import utilization
from training.backtest.utilization import DailyUtilization
from training.labels import MAX_HORIZON_DAYS, build_outcomes, expansion_label

__all__ = [
    "UTILIZATION_LOOKBACK_DAYS",
    "compute_maturity_date",
    "find_expansions",
    "find_first_full_day",
    "label_flags",
]

UTILIZATION_LOOKBACK_DAYS: Final = MAX_HORIZON_DAYS


def find_expansions(
    contracts: pl.DataFrame, *, end: datetime, rules: OutcomeConfig
) -> pl.DataFrame:
    """Find every expansion whose label had matured before a moment.

    An expansion of a day is an expansion label with a horizon of one day at that day's start: an
    organic increase above the levels at the start of the day, on the day it was booked. Only days
    with a booking are evaluated. An increase after a decrease counts even if it only restores an
    earlier level; for a snapshot taken before the decrease it is not an expansion.

    Only rows known before ``end``, UTC, are read. The columns are ``account_id``, ``day``;
    ``before``, the account's previous expansion, or null; and ``since``, the day after that, or the
    first of the last 180 days if that is later: the start of the window in which utilization is
    searched. Ordered by account and day.
    """
    keys = contracts.select("account_id", as_of=pl.col("known").dt.date()).unique()
    labels = build_outcomes(keys.sort("account_id", "as_of"), contracts, cutoff=end, rules=rules)
    return (
        labels.filter(expansion_label(1))
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
    flags: pl.DataFrame,
    contracts: pl.DataFrame,
    *,
    end: datetime,
    rules: OutcomeConfig,
    within_days: int,
) -> pl.Series:
    """Return whether an expansion followed each flag; null while the label has not matured.

    ``flags`` holds ``account_id`` and ``day``, at whose start the account was flagged.
    ``within_days`` counts from the flag's own day, the end excluded; the rest is as for
    :func:`find_expansions`.
    """
    keys = flags.select("account_id", as_of="day")
    labels = build_outcomes(keys, contracts, cutoff=end, rules=rules)
    return labels.select(expanded=expansion_label(within_days))["expanded"]


def compute_maturity_date(end: date, rules: OutcomeConfig) -> date:
    """Return the first day whose labels have not matured yet."""
    return end - timedelta(days=rules.booking_lag_days + rules.revert_days)


def find_first_full_day(
    expansions: pl.DataFrame, daily: DailyUtilization, *, threshold: float
) -> pl.Series:
    """Find the first day, from ``since`` on, on which an account's utilization reached a threshold.

    ``daily`` covers the days of the expansions and ``UTILIZATION_LOOKBACK_DAYS`` before them. Null
    if there is no such day up to the expansion's own.
    """
    rows = expansions.join(
        utilization.number_accounts(daily.accounts), on="account_id", maintain_order="left"
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
    first = np.where(is_full.any(axis=1), since + is_full.argmax(axis=1), -1)
    return utilization.columns_to_dates(first, daily.first_day)
