"""Daily utilization of each account's contract, as known at the start of each day.

A day's value equals the panel's value for that as-of: the same rows of the same daily tables, known
strictly before the day. All days are computed at once: a row adds from the day after it became
known until it leaves the window.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import MONTH_DAYS
from features.activity.daily_tables import Activity
from features.activity.scan import NAME_DTYPE

__all__ = [
    "DailyUtilization",
    "build_daily_utilization",
    "columns_to_dates",
    "number_accounts",
]

_ACCOUNT: Final = ("account_id",)
Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DailyUtilization:
    """Utilization of every account on every day, 00:00 UTC; rows are accounts and columns are days.

    Attributes
    ----------
    accounts : polars.Series
        Accounts with a contract, in ascending order.
    first_day : datetime.date
        The day of the first column.
    seat_utilization, usage_ratio : numpy.ndarray, shape (n_accounts, n_days)
        As the features of these names; NaN without a limit, or while the log is shorter than the
        window.
    paid : numpy.ndarray of bool, shape (n_accounts, n_days)
        Whether a paid contract was in force.
    """

    accounts: pl.Series
    first_day: date
    seat_utilization: Array
    usage_ratio: Array
    paid: NDArray[np.bool_]

    def __repr__(self) -> str:
        last = self.first_day + timedelta(days=self.paid.shape[1] - 1)
        return f"DailyUtilization({len(self.accounts):,} accounts, {self.first_day} to {last})"

    @property
    def max_utilization(self) -> Array:
        """The higher of the two for accounts under paid contract; NaN if neither is known."""
        higher = np.fmax(self.seat_utilization, self.usage_ratio)
        return np.where(self.paid, higher, np.nan)


def build_daily_utilization(
    activity: Activity,
    contracts: pl.DataFrame,
    *,
    first_day: date,
    days: int,
    seat_days: int,
    free_seat_users: pl.DataFrame,
) -> DailyUtilization:
    """Compute active seats, API calls and contract terms of every account on every day.

    The result equals, to the bit, the panel's ``seat_utilization`` and ``usage_ratio`` of those
    days. ``seat_days`` is the length of the seat window; ``free_seat_users`` are the users without
    a paid seat, and since when that is known.
    """
    accounts = contracts["account_id"].unique().sort()
    shape = (len(accounts), days)
    since = first_day - timedelta(days=max(seat_days, MONTH_DAYS))
    seat_changes = activity.aggregate(
        "people", _ACCOUNT, _make_seat_aggregator(seat_days, free_seat_users), since=since
    )
    call_changes = activity.aggregate("volume", _ACCOUNT, _aggregate_calls, since=since)
    active_seats, calls_milli = (
        _accumulate_changes(changes, accounts, first_day, shape)
        for changes in (seat_changes, call_changes)
    )
    seats, limit, paid = _build_daily_terms(contracts, accounts, first_day, shape)
    log_days = _count_log_days(activity, first_day, days)
    seat_utilization = _divide_by_limit(active_seats.astype(np.float64), seats)
    usage_ratio = _divide_by_limit(np.multiply(calls_milli, 0.001, dtype=np.float64), limit)
    return DailyUtilization(
        accounts,
        first_day,
        np.where(log_days >= seat_days, seat_utilization, np.nan),
        np.where(log_days >= MONTH_DAYS, usage_ratio, np.nan),
        paid,
    )


def number_accounts(accounts: pl.Series) -> pl.DataFrame:
    """Return ``row`` and ``account_id``, to join accounts to the rows of a matrix."""
    return pl.DataFrame({"account_id": accounts}).with_row_index("row")


def columns_to_dates(columns: Counts, first_day: date) -> pl.Series:
    """Convert columns of a matrix to dates; null where the column is negative."""
    frame = pl.DataFrame({"column": columns})
    day = (pl.lit(first_day) + pl.duration(days=pl.col("column"))).cast(pl.Date)
    return frame.select(date=pl.when(pl.col("column") >= 0).then(day))["date"]


def _make_seat_aggregator(
    seat_days: int, free_seat_users: pl.DataFrame
) -> Callable[[pl.LazyFrame], pl.DataFrame]:
    """Return a function that computes the daily change in active seats of each account."""
    next_day = pl.col("known_day") + pl.duration(days=1)
    # A seat counts as paid until it is known that it is not.
    free_from = free_seat_users.lazy().select(
        pl.col("user_id").cast(NAME_DTYPE), until=next_day.fill_null(pl.date(1, 1, 1))
    )

    def aggregate_seats(rows: pl.LazyFrame) -> pl.DataFrame:
        user = ["account_id", "user_id"]
        spans = (
            rows.filter(pl.col("seat_uses") > 0)
            .group_by(*user, "day")
            .agg(start=next_day.min())
            .join(free_from, on="user_id", how="left")
            .with_columns(
                end=pl.min_horizontal(pl.col("day") + pl.duration(days=seat_days + 1), "until")
            )
            .sort(*user, "start")
            # Of a user's overlapping windows, each adds only the days not covered before.
            .with_columns(covered=pl.col("end").cum_max().shift(1).over(user))
            .with_columns(start=pl.max_horizontal("start", "covered"))
        )
        return _spans_to_changes(spans, pl.lit(1, pl.Int64))

    return aggregate_seats


def _aggregate_calls(rows: pl.LazyFrame) -> pl.DataFrame:
    """Compute the daily change in API calls of the last month, in thousandths of a call."""
    spans = rows.filter(pl.col("role") == "api_call").with_columns(
        start=pl.col("known_day") + pl.duration(days=1),
        end=pl.col("day") + pl.duration(days=MONTH_DAYS + 1),
    )
    return _spans_to_changes(spans, pl.col("quantity_milli"))


def _spans_to_changes(spans: pl.LazyFrame, amount: pl.Expr) -> pl.DataFrame:
    """Convert spans to changes: an amount is added on the first day and subtracted at the end."""
    nonempty = spans.filter(pl.col("start") < pl.col("end"))
    ends = [
        nonempty.select("account_id", at=pl.col(day), change=change)
        for day, change in (("start", amount), ("end", -amount))
    ]
    return pl.concat(ends).group_by("account_id", "at").agg(pl.col("change").sum()).collect()


def _accumulate_changes(
    changes: pl.DataFrame, accounts: pl.Series, first_day: date, shape: tuple[int, int]
) -> Counts:
    """Return the cumulative sum of the changes over the days; earlier ones count on the first."""
    located = (
        changes.with_columns(
            pl.col("account_id").cast(pl.String),
            column=(pl.col("at") - pl.lit(first_day)).dt.total_days().clip(0),
        )
        .join(number_accounts(accounts), on="account_id")
        .filter(pl.col("column") < shape[1])
    )
    table = np.zeros(shape, dtype=np.int64)
    position = located["row"].to_numpy(), located["column"].to_numpy()
    np.add.at(table, position, located["change"].to_numpy())
    return np.cumsum(table, axis=1, out=table)


def _build_daily_terms(
    contracts: pl.DataFrame, accounts: pl.Series, first_day: date, shape: tuple[int, int]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return licensed seats, usage limit, and whether a paid contract is in force, for each day.

    A row applies from the first day on which it is in force and was known before. Among several the
    last in the timeline's order applies, as in ``in_force`` of the subscription timeline.
    """
    in_force = pl.col("effective").dt.offset_by("-1us").dt.date() + pl.duration(days=1)
    known_from = pl.col("known").dt.date() + pl.duration(days=1)
    rows = (
        contracts.with_row_index("index")
        .join(number_accounts(accounts), on="account_id")
        .with_columns(
            column=(pl.max_horizontal(in_force, known_from) - pl.lit(first_day))
            .dt.total_days()
            .clip(0)
        )
        .filter(pl.col("column") < shape[1])
    )
    row_index = np.full(shape, -1, dtype=np.int64)
    position = rows["row"].to_numpy(), rows["column"].to_numpy()
    np.maximum.at(row_index, position, rows["index"].to_numpy().astype(np.int64))
    np.maximum.accumulate(row_index, axis=1, out=row_index)
    # Index -1, the appended last element, means that there is no contract yet.
    seats, limit = (
        np.append(contracts[name].cast(pl.Float64).fill_null(np.nan).to_numpy(), np.nan)[row_index]
        for name in ("seats", "usage_limit")
    )
    return seats, limit, np.append(contracts["paid"].to_numpy(), False)[row_index]


def _count_log_days(activity: Activity, first_day: date, days: int) -> Counts:
    """Count the days of log before each day, as known on it."""
    first_known = (
        activity.first_features.group_by("known_day")
        .agg(pl.col("day").min())
        .select(
            column=(pl.col("known_day") - pl.lit(first_day)).dt.total_days().clip(-1) + 1,
            day=(pl.col("day") - pl.lit(first_day)).dt.total_days(),
        )
        .filter(pl.col("column") < days)
        .collect()
    )
    earliest = np.full(days, days, dtype=np.int64)
    np.minimum.at(earliest, first_known["column"].to_numpy(), first_known["day"].to_numpy())
    return np.arange(days) - np.minimum.accumulate(earliest)


def _divide_by_limit(amount: Array, limit: Array) -> Array:
    """Divide an amount by its limit; NaN where the limit is null or zero."""
    ratio = np.full(amount.shape, np.nan)
    return np.asarray(np.divide(amount, limit, out=ratio, where=limit > 0))
