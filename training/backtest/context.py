"""Scoring context shared by all strategies: contracts, expansions and the bootstrap."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import OutcomeConfig, Settings
from features.panel import user_activity
from training.backtest import expansions, utilization
from training.backtest.inputs import BacktestInputs
from training.backtest.utilization import DailyUtilization
from training.metrics import cluster_bootstrap

__all__ = [
    "QUARTER_DAYS",
    "BacktestContext",
    "build_context",
    "build_utilization",
    "select_counted_expansions",
]

QUARTER_DAYS: Final = 90
Array = NDArray[np.float64]
Days = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BacktestContext:
    """Context against which every strategy is scored.

    Attributes
    ----------
    accounts : polars.Series
        The rows.
    start : datetime.date
        The day of column 0.
    under_contract : numpy.ndarray of bool, shape (n_accounts, n_days)
        Whether the account has a paid contract.
    counted_columns : range
        Columns of the days whose expansions count.
    expansion_row, expansion_day : numpy.ndarray of int, shape (n_expansions,)
        Row and column of each counted expansion.
    first_full_day, lookback_start : numpy.ndarray of int, shape (n_expansions,)
        Column of the first day at 80 % utilization, negative if it lies before the replay or does
        not exist; and column of the day from which it was searched.
    contracts : polars.DataFrame
        The subscription timeline.
    end : datetime.datetime
        Outcomes use data known before this moment, UTC.
    outcome_rules : data.config.settings.OutcomeConfig
        Definition of an expansion, and its horizon.
    window_days : int
        Maximum number of days from a flag to the expansion it catches.
    csm_count : int
        CSMs who share the work.
    bootstrap : ClusterBootstrap
        Resamples of accounts.
    """

    accounts: pl.Series
    start: date
    under_contract: NDArray[np.bool_]
    counted_columns: range
    expansion_row: Days
    expansion_day: Days
    first_full_day: Days
    lookback_start: Days
    contracts: pl.DataFrame
    end: datetime
    outcome_rules: OutcomeConfig
    window_days: int
    csm_count: int
    bootstrap: cluster_bootstrap.ClusterBootstrap

    def count_per_account(self, rows: Days) -> Array:
        """Count how often each account occurs."""
        return np.bincount(rows, minlength=len(self.accounts)).astype(np.float64)

    def to_csm_quarters(self, days: int) -> float:
        """Convert days to quarters times CSMs."""
        return days / QUARTER_DAYS * self.csm_count


def build_utilization(inputs: BacktestInputs, settings: Settings) -> DailyUtilization:
    """Compute daily utilization, starting the longest lookback before the replay."""
    lookback_days = expansions.UTILIZATION_LOOKBACK_DAYS
    return utilization.build_daily_utilization(
        inputs.history.activity,
        inputs.history.contracts,
        first_day=inputs.start - timedelta(days=lookback_days),
        days=inputs.day_count + lookback_days,
        seat_days=settings.seats.window_days,
        free_seat_users=user_activity.free_seat_users(
            user_activity.prepare_users(
                inputs.history.tables.users.rows,
                inputs.history.tables.accounts.rows,
                settings.tables.time_invariant_attributes,
                settings.tables.known_at_reliable_from,
            )
        ),
    )


def select_counted_expansions(
    inputs: BacktestInputs, settings: Settings, daily: DailyUtilization
) -> pl.DataFrame:
    """Select the expansions that count, with the first day of full utilization before each."""
    since = inputs.start + timedelta(days=settings.backtest.detection_window_days)
    all_expansions = expansions.find_expansions(
        inputs.history.contracts, end=inputs.history.as_of, rules=settings.outcome
    )
    recent = all_expansions.filter(pl.col("day") >= since)
    first_full = expansions.find_first_full_day(
        recent, daily, threshold=settings.backtest.rule_utilization
    )
    return recent.with_columns(full_from=first_full)


def build_context(
    inputs: BacktestInputs,
    settings: Settings,
    daily: DailyUtilization,
    counted: pl.DataFrame,
    *,
    csm_count: int,
) -> BacktestContext:
    """Map expansions and contracts to the rows and columns of the replay."""
    rows = counted.join(
        pl.DataFrame({"account_id": daily.accounts}).with_row_index("row"),
        on="account_id",
        maintain_order="left",
    )
    maturity_date = expansions.compute_maturity_date(inputs.end, settings.outcome)
    day, first_full, since = (
        (rows[name] - inputs.start).dt.total_days().fill_null(-1).to_numpy()
        for name in ("day", "full_from", "since")
    )
    return BacktestContext(
        accounts=daily.accounts,
        start=inputs.start,
        under_contract=daily.paid[:, expansions.UTILIZATION_LOOKBACK_DAYS :],
        counted_columns=range(
            settings.backtest.detection_window_days, (maturity_date - inputs.start).days
        ),
        expansion_row=rows["row"].to_numpy().astype(np.int64),
        expansion_day=day,
        first_full_day=first_full,
        lookback_start=since,
        contracts=inputs.history.contracts,
        end=inputs.history.as_of,
        outcome_rules=settings.outcome,
        window_days=settings.backtest.detection_window_days,
        csm_count=csm_count,
        bootstrap=cluster_bootstrap.ClusterBootstrap(
            np.arange(len(daily.accounts)),
            resamples=settings.evaluation.n_bootstrap,
            seed=settings.model.seed,
        ),
    )
