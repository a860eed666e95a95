"""How full each account's contract was on every morning, as it was known on that morning.

A day's figure is the one that the panel gives for that as-of: the same rows of the same daily
tables, let through by the same rule, known strictly before the day. Here they are counted for all
days at once: a row adds from the day after it became known until it leaves the window.
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

__all__ = ["DailyUtilization", "build_daily_utilization"]

_ACCOUNT: Final = ("account_id",)
Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DailyUtilization:
    """Every account on every morning, 00:00 UTC; rows are accounts and columns are days.

    Attributes
    ----------
    accounts : polars.Series
        Those with a contract, in rising order.
    first_day : datetime.date
        The day of the first column.
    seat_utilization, usage_ratio : numpy.ndarray, shape (n_accounts, n_days)
        As the features of these names; nan without a limit, or where the log had not yet filled the
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
        return f"Daily({len(self.accounts):,} accounts, {self.first_day} to {last})"

    @property
    def max_utilization(self) -> Array:
        """The higher of the two, of accounts under paid contract; nan where neither is known."""
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
    """Count active seats, calls and the terms in force, of every account on every morning.

    Parameters
    ----------
    activity : features.activity.daily_tables.Activity
        The daily tables of the log.
    contracts : polars.DataFrame
        :func:`features.subscription_timeline.build_timeline`.
    first_day : datetime.date
        The first morning.
    days : int
        How many mornings.
    seat_days : int
        Length of the seat window.
    free_seat_users : polars.DataFrame
        People whose seat is not a paid one, and since when that is known
        (:func:`features.panel.user_activity.free_seat_users`).

    Returns
    -------
    DailyUtilization
        Equal, to the bit, to the panel's ``seat_utilization`` and ``usage_ratio`` of those days.
    """
    accounts = contracts["account_id"].unique().sort()
    shape = (len(accounts), days)
    since = first_day - timedelta(days=max(seat_days, MONTH_DAYS))
    seat_changes = activity.aggregate(
        "people", _ACCOUNT, _make_seat_aggregator(seat_days, free_seat_users), since=since
    )
    call_changes = activity.aggregate("volume", _ACCOUNT, _aggregate_calls, since=since)
    active_seats = _accumulate_changes(_locate_changes(seat_changes, accounts, first_day), shape)
    calls_milli = _accumulate_changes(_locate_changes(call_changes, accounts, first_day), shape)
    seats, limit, paid = _build_daily_terms(contracts, accounts, first_day, shape)
    log_days = _count_log_days(activity, first_day, days)
    return DailyUtilization(
        accounts,
        first_day,
        np.where(
            log_days >= seat_days, _divide_by_limit(active_seats.astype(np.float64), seats), np.nan
        ),
        np.where(
            log_days >= MONTH_DAYS,
            _divide_by_limit(np.multiply(calls_milli, 0.001, dtype=np.float64), limit),
            np.nan,
        ),
        paid,
    )


def _make_seat_aggregator(
    seat_days: int, free_seat_users: pl.DataFrame
) -> Callable[[pl.LazyFrame], pl.DataFrame]:
    """How many people more, from a day on, have been active within the window."""
    morning = pl.col("known_day") + pl.duration(days=1)
    # Until it was known that a seat is not a paid one, it counted as one.
    free_from = free_seat_users.lazy().select(
        pl.col("user_id").cast(NAME_DTYPE), until=morning.fill_null(pl.date(1, 1, 1))
    )

    def aggregate_seats(rows: pl.LazyFrame) -> pl.DataFrame:
        person = ["account_id", "user_id"]
        spans = (
            rows.filter(pl.col("seat_uses") > 0)
            .group_by(*person, "day")
            .agg(start=morning.min())
            .join(free_from, on="user_id", how="left")
            .with_columns(
                end=pl.min_horizontal(pl.col("day") + pl.duration(days=seat_days + 1), "until")
            )
            .sort(*person, "start")
            # Of several windows of a person each adds the days that those before it left out.
            .with_columns(covered=pl.col("end").cum_max().shift(1).over(person))
            .with_columns(start=pl.max_horizontal("start", "covered"))
        )
        return _spans_to_changes(spans, pl.lit(1, pl.Int64))

    return aggregate_seats


def _aggregate_calls(rows: pl.LazyFrame) -> pl.DataFrame:
    """How many thousandths of API calls more, from a day on, lie within the last month."""
    spans = rows.filter(pl.col("role") == "api_call").with_columns(
        start=pl.col("known_day") + pl.duration(days=1),
        end=pl.col("day") + pl.duration(days=MONTH_DAYS + 1),
    )
    return _spans_to_changes(spans, pl.col("quantity_milli"))


def _spans_to_changes(spans: pl.LazyFrame, amount: pl.Expr) -> pl.DataFrame:
    """An amount comes on the first day of its span and goes on its end."""
    nonempty = spans.filter(pl.col("start") < pl.col("end"))
    ends = [
        nonempty.select("account_id", at=pl.col(day), change=change)
        for day, change in (("start", amount), ("end", -amount))
    ]
    return pl.concat(ends).group_by("account_id", "at").agg(pl.col("change").sum()).collect()


def _locate_changes(changes: pl.DataFrame, accounts: pl.Series, first_day: date) -> pl.DataFrame:
    """The row and the column of each change; what came before the first morning counts on it."""
    return changes.select(
        pl.col("account_id").cast(pl.String),
        column=(pl.col("at") - pl.lit(first_day)).dt.total_days().clip(0),
        change="change",
    ).join(_number_accounts(accounts), on="account_id")


def _number_accounts(accounts: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"account_id": accounts}).with_row_index("row")


def _accumulate_changes(changes: pl.DataFrame, shape: tuple[int, int]) -> Counts:
    """Add up the changes, day after day."""
    visible = changes.filter(pl.col("column") < shape[1])
    table = np.zeros(shape, dtype=np.int64)
    np.add.at(
        table,
        (visible["row"].to_numpy(), visible["column"].to_numpy()),
        visible["change"].to_numpy(),
    )
    return np.cumsum(table, axis=1, out=table)


def _build_daily_terms(
    contracts: pl.DataFrame, accounts: pl.Series, first_day: date, shape: tuple[int, int]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Licensed seats, usage limit, and whether a paid contract is in force, each morning.

    A row speaks from the first morning on which it is in force and was known before; of several
    the last in the timeline's order does, as in :func:`features.subscription_timeline.in_force`.
    """
    in_force = pl.col("effective").dt.offset_by("-1us").dt.date() + pl.duration(days=1)
    known_from = pl.col("known").dt.date() + pl.duration(days=1)
    rows = (
        contracts.with_row_index("place")
        .join(_number_accounts(accounts), on="account_id")
        .with_columns(
            column=(pl.max_horizontal(in_force, known_from) - pl.lit(first_day))
            .dt.total_days()
            .clip(0)
        )
        .filter(pl.col("column") < shape[1])
    )
    row_index = np.full(shape, -1, dtype=np.int64)
    position = rows["row"].to_numpy(), rows["column"].to_numpy()
    np.maximum.at(row_index, position, rows["place"].to_numpy().astype(np.int64))
    np.maximum.accumulate(row_index, axis=1, out=row_index)
    # The last place of all, which no row has, says that there is no contract yet.
    seats, limit = (
        np.append(contracts[name].cast(pl.Float64).fill_null(np.nan).to_numpy(), np.nan)[row_index]
        for name in ("seats", "usage_limit")
    )
    return seats, limit, np.append(contracts["paid"].to_numpy(), False)[row_index]


def _count_log_days(activity: Activity, first_day: date, days: int) -> Counts:
    """Days of log before each morning, as known on it."""
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
    """An amount as a share of its limit; null and zero alike are no limit."""
    ratio = np.full(amount.shape, np.nan)
    return np.asarray(np.divide(amount, limit, out=ratio, where=limit > 0))
