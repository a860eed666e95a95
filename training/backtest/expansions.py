"""What there was to be found: every expansion, day by day, and what became of every flag."""

from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.settings import Outcome
from training import outcomes
from training.backtest.daily import Daily

__all__ = ["FULL_WITHIN_DAYS", "after", "found", "full_from", "settled_days"]

FULL_WITHIN_DAYS: Final = outcomes.LONGEST_DAYS
Days = NDArray[np.int64]


def found(contracts: pl.DataFrame, *, end: datetime, rules: Outcome) -> pl.DataFrame:
    """Find every expansion that was known, and settled, before a moment.

    An expansion of a day is what :mod:`training.outcomes` calls one within a day of that day's
    morning: an organic rise above the levels of that morning, on the day it was booked. It can only
    lie on a day on which something was booked, so no other is asked. A rise after a fall counts,
    also where it only restores a level of some weeks before; to a snapshot from before the fall it
    is none.

    Parameters
    ----------
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    end : datetime.datetime
        Only rows known before this moment, UTC, are read.
    rules : data.settings.Outcome
        What counts as an expansion.

    Returns
    -------
    polars.DataFrame
        ``account_id``, ``day``; ``before``, the account's expansion before this one, or null; and
        ``since``, the day after that, or the first of the last 180 where that is later: from then
        on its use is held against it. Ordered by account and day.
    """
    asked = contracts.select("account_id", as_of=pl.col("known").dt.date()).unique()
    of = outcomes.build(asked.sort("account_id", "as_of"), contracts, cut=end, rules=rules)
    return (
        of.filter(outcomes.expanded(1))
        .select("account_id", day="as_of")
        .sort("account_id", "day")
        .with_columns(before=pl.col("day").shift(1).over("account_id"))
        .with_columns(
            since=pl.max_horizontal(
                pl.col("day") - pl.duration(days=FULL_WITHIN_DAYS - 1),
                pl.col("before") + pl.duration(days=1),
            )
        )
    )


def after(
    flags: pl.DataFrame, contracts: pl.DataFrame, *, end: datetime, rules: Outcome, within_days: int
) -> pl.Series:
    """Say of each flag whether an expansion followed; null while that is not known.

    Parameters
    ----------
    flags : polars.DataFrame
        ``account_id``, ``day``: the morning on which the account was flagged.
    contracts, end, rules
        As for :func:`found`.
    within_days : int
        Days from the flag's own, the end excluded.

    Returns
    -------
    polars.Series
        In the order of the flags.
    """
    asked = flags.select("account_id", as_of="day")
    of = outcomes.build(asked, contracts, cut=end, rules=rules)
    return of.select(expanded=outcomes.expanded(within_days))["expanded"]


def settled_days(end: date, rules: Outcome) -> date:
    """The first day of which it is not yet known whether an account expanded."""
    return end - timedelta(days=rules.booking_lag_days + rules.revert_days)


def full_from(expansions: pl.DataFrame, daily: Daily, *, share: float) -> pl.Series:
    """Find the morning on which an account first stood at a share of its seats or usage.

    Parameters
    ----------
    expansions : polars.DataFrame
        From :func:`found`, of days that ``daily`` holds.
    daily : training.backtest.daily.Daily
        From at least ``FULL_WITHIN_DAYS`` before them.
    share : float
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
        (pl.col(name) - pl.lit(daily.first)).dt.total_days() for name in ("day", "since")
    )
    last, since = rows["day"].to_numpy(), rows["since"].to_numpy()
    column = since[:, None] + np.arange(FULL_WITHIN_DAYS)
    asked = (column <= last[:, None]) & (column >= 0)
    at = np.where(asked, column, 0)
    full = asked & (daily.fullness[rows["row"].to_numpy()[:, None], at] >= share)
    first = since + full.argmax(axis=1)
    days = pl.Series("full_from", np.where(full.any(axis=1), first, -1))
    return (
        pl.DataFrame({"days": days})
        .select(
            full_from=pl.when(pl.col("days") >= 0).then(
                pl.lit(daily.first) + pl.duration(days=pl.col("days"))
            )
        )["full_from"]
        .cast(pl.Date)
    )
