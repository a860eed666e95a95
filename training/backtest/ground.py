"""What all ways of working are judged by: the book, the expansions, and the draws of accounts."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.settings import Outcome, Settings
from features import persons
from training import resampling
from training.backtest import daily as mornings
from training.backtest import expansions
from training.backtest.daily import Daily
from training.backtest.known import Known

__all__ = ["QUARTER_DAYS", "Ground", "counted", "full", "ground"]

QUARTER_DAYS: Final = 90
Array = NDArray[np.float64]
Days = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ground:
    """What all ways are judged by.

    Attributes
    ----------
    accounts : polars.Series
        The rows.
    start : datetime.date
        The day of column 0.
    book : numpy.ndarray of bool, shape (n_accounts, n_days)
        Who was under paid contract when.
    counted : range
        Columns of the days whose expansions count.
    row, day : numpy.ndarray of int, shape (n_expansions,)
        Of each expansion that counts.
    full, since : numpy.ndarray of int, shape (n_expansions,)
        Column of the first day at 80 %, negative where it lay before the replay, or nowhere; and of
        the day from which on it was looked for.
    contracts : polars.DataFrame
        :func:`features.contract.timeline`.
    end : datetime.datetime
        What is known before this moment, UTC, judges.
    rules : data.settings.Outcome
        What counts as an expansion, and its horizon.
    within_days : int
        How long before an expansion a flag counts.
    csms : int
        Who share the work.
    draws : training.resampling.Draws
        Of the accounts.
    """

    accounts: pl.Series
    start: date
    book: NDArray[np.bool_]
    counted: range
    row: Days
    day: Days
    full: Days
    since: Days
    contracts: pl.DataFrame
    end: datetime
    rules: Outcome
    within_days: int
    csms: int
    draws: resampling.Draws

    def per_account(self, rows: Days) -> Array:
        """Count how often each account occurs."""
        return np.bincount(rows, minlength=len(self.accounts)).astype(np.float64)

    def quarters(self, days: int) -> float:
        """So many days as quarters, times the CSMs."""
        return days / QUARTER_DAYS * self.csms


def full(made: Known, settings: Settings) -> Daily:
    """How full every contract was, from so long before the replay as a lag is told."""
    before = expansions.FULL_WITHIN_DAYS
    return mornings.build(
        made.past.activity,
        made.past.contracts,
        first=made.start - timedelta(days=before),
        days=made.days + before,
        seat_days=settings.seats.window_days,
        unpaid=persons.unpaid(
            persons.dated(
                made.past.tables.users.rows,
                made.past.tables.accounts.rows,
                settings.tables.stable,
                settings.tables.known_at_reliable_from,
            )
        ),
    )


def counted(made: Known, settings: Settings, daily: Daily) -> pl.DataFrame:
    """The expansions that count, and since when each account had been full."""
    since = made.start + timedelta(days=settings.backtest.caught_within_days)
    found = expansions.found(made.past.contracts, end=made.past.as_of, rules=settings.outcome)
    recent = found.filter(pl.col("day") >= since)
    first = expansions.full_from(recent, daily, share=settings.backtest.rule_share)
    return recent.with_columns(full_from=first)


def ground(
    made: Known, settings: Settings, daily: Daily, expanded: pl.DataFrame, *, csms: int
) -> Ground:
    """Put the expansions and the book on the rows and columns of the replay."""
    rows = expanded.join(
        pl.DataFrame({"account_id": daily.accounts}).with_row_index("row"),
        on="account_id",
        maintain_order="left",
    )
    settled = expansions.settled_days(made.end, settings.outcome)
    day, first, since = (
        (rows[name] - made.start).dt.total_days().fill_null(-1).to_numpy()
        for name in ("day", "full_from", "since")
    )
    return Ground(
        accounts=daily.accounts,
        start=made.start,
        book=daily.paid[:, expansions.FULL_WITHIN_DAYS :],
        counted=range(settings.backtest.caught_within_days, (settled - made.start).days),
        row=rows["row"].to_numpy().astype(np.int64),
        day=day,
        full=first,
        since=since,
        contracts=made.past.contracts,
        end=made.past.as_of,
        rules=settings.outcome,
        within_days=settings.backtest.caught_within_days,
        csms=csms,
        draws=resampling.Draws(
            np.arange(len(daily.accounts)),
            resamples=settings.evaluation.resamples,
            seed=settings.model.seed,
        ),
    )
