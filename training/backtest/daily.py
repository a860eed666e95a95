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

from data.settings import MONTH_DAYS
from features.activity import Activity
from features.rows import NAME

__all__ = ["Daily", "build"]

_ACCOUNT: Final = ("account_id",)
Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Daily:
    """Every account on every morning, 00:00 UTC; rows are accounts and columns are days.

    Attributes
    ----------
    accounts : polars.Series
        Those with a contract, in rising order.
    first : datetime.date
        The day of the first column.
    seat_utilization, usage_ratio : numpy.ndarray, shape (n_accounts, n_days)
        As the features of these names; nan without a limit, or where the log had not yet filled the
        window.
    paid : numpy.ndarray of bool, shape (n_accounts, n_days)
        Whether a paid contract was in force.
    """

    accounts: pl.Series
    first: date
    seat_utilization: Array
    usage_ratio: Array
    paid: NDArray[np.bool_]

    def __repr__(self) -> str:
        last = self.first + timedelta(days=self.paid.shape[1] - 1)
        return f"Daily({len(self.accounts):,} accounts, {self.first} to {last})"

    @property
    def fullness(self) -> Array:
        """The higher of the two, of accounts under paid contract; nan where neither is known."""
        fuller = np.fmax(self.seat_utilization, self.usage_ratio)
        return np.where(self.paid, fuller, np.nan)


def build(
    log: Activity,
    contracts: pl.DataFrame,
    *,
    first: date,
    days: int,
    seat_days: int,
    unpaid: pl.DataFrame,
) -> Daily:
    """Count active seats, calls and the terms in force, of every account on every morning.

    Parameters
    ----------
    log : features.activity.Activity
        The daily tables of the log.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    first : datetime.date
        The first morning.
    days : int
        How many mornings.
    seat_days : int
        Length of the seat window.
    unpaid : polars.DataFrame
        People whose seat is not a paid one, and since when that is known
        (:func:`features.persons.unpaid`).

    Returns
    -------
    Daily
        Equal, to the bit, to the panel's ``seat_utilization`` and ``usage_ratio`` of those days.
    """
    accounts = contracts["account_id"].unique().sort()
    size = (len(accounts), days)
    since = first - timedelta(days=max(seat_days, MONTH_DAYS))
    people = log.fold("people", _ACCOUNT, _seated(seat_days, unpaid), since=since)
    calls = log.fold("volume", _ACCOUNT, _called, since=since)
    active = _counted(_placed(people, accounts, first), size)
    milli = _counted(_placed(calls, accounts, first), size)
    seats, limit, paid = _terms(contracts, accounts, first, size)
    logged = _log_days(log, first, days)
    return Daily(
        accounts,
        first,
        np.where(logged >= seat_days, _share(active.astype(np.float64), seats), np.nan),
        np.where(
            logged >= MONTH_DAYS, _share(np.multiply(milli, 0.001, dtype=np.float64), limit), np.nan
        ),
        paid,
    )


def _seated(seat_days: int, unpaid: pl.DataFrame) -> Callable[[pl.LazyFrame], pl.DataFrame]:
    """How many people more, from a day on, have been active within the window."""
    morning = pl.col("known_day") + pl.duration(days=1)
    # Until it was known that a seat is not a paid one, it counted as one.
    free = unpaid.lazy().select(
        pl.col("user_id").cast(NAME), until=morning.fill_null(pl.date(1, 1, 1))
    )

    def made(rows: pl.LazyFrame) -> pl.DataFrame:
        person = ["account_id", "user_id"]
        spans = (
            rows.filter(pl.col("seat_uses") > 0)
            .group_by(*person, "day")
            .agg(start=morning.min())
            .join(free, on="user_id", how="left")
            .with_columns(
                end=pl.min_horizontal(pl.col("day") + pl.duration(days=seat_days + 1), "until")
            )
            .sort(*person, "start")
            # Of several windows of a person each adds the days that those before it left out.
            .with_columns(covered=pl.col("end").cum_max().shift(1).over(person))
            .with_columns(start=pl.max_horizontal("start", "covered"))
        )
        return _changes(spans, pl.lit(1, pl.Int64))

    return made


def _called(rows: pl.LazyFrame) -> pl.DataFrame:
    """How many thousandths of API calls more, from a day on, lie within the last month."""
    spans = rows.filter(pl.col("role") == "api_call").with_columns(
        start=pl.col("known_day") + pl.duration(days=1),
        end=pl.col("day") + pl.duration(days=MONTH_DAYS + 1),
    )
    return _changes(spans, pl.col("quantity_milli"))


def _changes(spans: pl.LazyFrame, amount: pl.Expr) -> pl.DataFrame:
    """An amount comes on the first day of its span and goes on its end."""
    real = spans.filter(pl.col("start") < pl.col("end"))
    ends = [
        real.select("account_id", at=pl.col(day), change=change)
        for day, change in (("start", amount), ("end", -amount))
    ]
    return pl.concat(ends).group_by("account_id", "at").agg(pl.col("change").sum()).collect()


def _placed(changes: pl.DataFrame, accounts: pl.Series, first: date) -> pl.DataFrame:
    """The row and the column of each change; what came before the first morning counts on it."""
    return changes.select(
        pl.col("account_id").cast(pl.String),
        column=(pl.col("at") - pl.lit(first)).dt.total_days().clip(0),
        change="change",
    ).join(_numbered(accounts), on="account_id")


def _numbered(accounts: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"account_id": accounts}).with_row_index("row")


def _counted(changes: pl.DataFrame, size: tuple[int, int]) -> Counts:
    """Add up the changes, day after day."""
    seen = changes.filter(pl.col("column") < size[1])
    table = np.zeros(size, dtype=np.int64)
    np.add.at(table, (seen["row"].to_numpy(), seen["column"].to_numpy()), seen["change"].to_numpy())
    return np.cumsum(table, axis=1, out=table)


def _terms(
    contracts: pl.DataFrame, accounts: pl.Series, first: date, size: tuple[int, int]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Licensed seats, usage limit, and whether a paid contract is in force, each morning.

    A row speaks from the first morning on which it is in force and was known before; of several
    the last in the timeline's order does, as in :func:`features.contract.in_force`.
    """
    in_force = pl.col("effective").dt.offset_by("-1us").dt.date() + pl.duration(days=1)
    heard = pl.col("known").dt.date() + pl.duration(days=1)
    rows = (
        contracts.with_row_index("place")
        .join(_numbered(accounts), on="account_id")
        .with_columns(
            column=(pl.max_horizontal(in_force, heard) - pl.lit(first)).dt.total_days().clip(0)
        )
        .filter(pl.col("column") < size[1])
    )
    place = np.full(size, -1, dtype=np.int64)
    at = rows["row"].to_numpy(), rows["column"].to_numpy()
    np.maximum.at(place, at, rows["place"].to_numpy().astype(np.int64))
    np.maximum.accumulate(place, axis=1, out=place)
    # The last place of all, which no row has, says that there is no contract yet.
    seats, limit = (
        np.append(contracts[name].cast(pl.Float64).fill_null(np.nan).to_numpy(), np.nan)[place]
        for name in ("seats", "usage_limit")
    )
    return seats, limit, np.append(contracts["paid"].to_numpy(), False)[place]


def _log_days(log: Activity, first: date, days: int) -> Counts:
    """Days of log before each morning, as known on it."""
    seen = (
        log.first_features.group_by("known_day")
        .agg(pl.col("day").min())
        .select(
            column=(pl.col("known_day") - pl.lit(first)).dt.total_days().clip(-1) + 1,
            day=(pl.col("day") - pl.lit(first)).dt.total_days(),
        )
        .filter(pl.col("column") < days)
        .collect()
    )
    earliest = np.full(days, days, dtype=np.int64)
    np.minimum.at(earliest, seen["column"].to_numpy(), seen["day"].to_numpy())
    return np.arange(days) - np.minimum.accumulate(earliest)


def _share(amount: Array, limit: Array) -> Array:
    """An amount as a share of its limit; null and zero alike are no limit."""
    found = np.full(amount.shape, np.nan)
    return np.asarray(np.divide(amount, limit, out=found, where=limit > 0))
