"""Score a strategy: detection rate, lead time, precision and false alarms."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import OutcomeConfig
from training.backtest import expansions, utilization
from training.backtest.result import StrategyResult
from training.backtest.strategies import Strategy
from training.backtest.workload import ContactLog, TeamCapacity
from training.metrics import cluster_bootstrap
from training.metrics.cluster_bootstrap import Metric, MetricEstimate, ResampleWeights

__all__ = [
    "PORTFOLIO_ACCOUNTS",
    "QUARTER_DAYS",
    "BacktestContext",
    "StrategyScore",
    "collect_flags_and_expansions",
    "compare_detection",
    "make_median_metric",
    "score_strategy",
]

QUARTER_DAYS: Final = 90
PORTFOLIO_ACCOUNTS: Final = 80
_NO_FLAG: Final = -1
_NO_ESTIMATE: Final = MetricEstimate(None, None, None)
_MIN_LEAD_DAYS: Final = {"detection_rate": 0, "detection_rate_14d": 14, "detection_rate_30d": 30}
Array = NDArray[np.float64]
Days = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BacktestContext:
    """Context against which every strategy is scored.

    Attributes
    ----------
    accounts, start
        The rows, and the day of column 0.
    under_contract : numpy.ndarray of bool, shape (n_accounts, n_days)
        Whether the account has a paid contract.
    counted_columns : range
        Columns of the days whose expansions count.
    expansion_row, expansion_day : numpy.ndarray of int, shape (n_expansions,)
        Row and column of each counted expansion.
    first_full_day, lookback_start : numpy.ndarray of int, shape (n_expansions,)
        Column of the first day at 80 % utilization, negative if it lies before the replay or does
        not exist; and column of the day from which it was searched.
    contracts, end, outcome_rules
        The subscription timeline; the moment, UTC, before which outcomes use data; and the
        definition of an expansion, with its horizon.
    window_days : int
        Maximum number of days from a flag to the expansion it catches.
    csm_count : int
        CSMs who share the work.
    bootstrap : ClusterBootstrap
        Of accounts.
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

    def estimate(self, metric: Metric) -> MetricEstimate:
        """Compute a metric with its interval over accounts."""
        return cluster_bootstrap.compute_percentile_interval(self.bootstrap.evaluate(metric))

    def estimate_ratio(self, numerator: Array, denominator: Array) -> MetricEstimate:
        """Compute the ratio of two totals per account, with its interval."""
        return self.estimate(cluster_bootstrap.ratio_metric(numerator, denominator))

    def estimate_share(self, is_included: NDArray[np.bool_]) -> MetricEstimate:
        """Compute a share of the counted expansions, with its interval."""
        return self.estimate_ratio(
            self.count_per_account(self.expansion_row[is_included]),
            self.count_per_account(self.expansion_row),
        )


@dataclass(frozen=True, eq=False)
class StrategyScore:
    """A strategy's result and the data it was computed from.

    ``flags`` holds ``account_id``, ``day``, ``expanded`` of every flag; ``detection_day``, shape
    (n_expansions,), the column of the first flag that counts, negative if there is none.
    """

    result: StrategyResult
    flags: pl.DataFrame
    detection_day: Days


def score_strategy(
    strategy: Strategy, contacts: ContactLog, context: BacktestContext, capacity: TeamCapacity
) -> StrategyScore:
    """Compute the metrics of a strategy from the contacts simulated for it."""
    flags = _label_contacts(contacts, context)
    expanded = flags["expanded"]
    hits = contacts.account[expanded.fill_null(value=False).to_numpy()]
    misses = contacts.account[(~expanded).fill_null(value=False).to_numpy()]
    detection_day = _find_first_flag(
        contacts, context, context.expansion_day - context.window_days + 1
    )
    is_too_early = (detection_day < 0) & (
        _find_first_flag(contacts, context, context.lookback_start) >= 0
    )
    lead_days = np.where(detection_day >= 0, context.expansion_day - detection_day, np.nan)
    review_minutes = contacts.reviews * capacity.minutes_per_review
    contact_minutes = len(contacts.account) * capacity.minutes_per_account
    csm_quarters = context.to_csm_quarters(context.under_contract.shape[1])
    hits_per_account = context.count_per_account(hits)
    metrics = {
        **{
            name: context.estimate_share(lead_days >= days) for name, days in _MIN_LEAD_DAYS.items()
        },
        "condition_rate": _compute_condition_rate(strategy, contacts, context),
        "precision": context.estimate_ratio(
            hits_per_account, hits_per_account + context.count_per_account(misses)
        ),
        "lag_days": _compute_median(_compute_lag_days(contacts, context), context),
        "lead_days": _compute_median(lead_days, context),
        "false_alarms": _compute_false_alarms(misses, context),
        "missed": _compute_missed(lead_days, context),
        # Without an interval, because minutes have no sampling error.
        "minutes": MetricEstimate(
            float((review_minutes + contact_minutes) / csm_quarters), None, None
        ),
    }
    result = StrategyResult(
        name=strategy.name,
        rule=strategy.rule,
        metrics=metrics,
        flags=len(contacts.account),
        hits=len(hits),
        false_alarms=len(misses),
        detected=int((lead_days >= 0).sum()),
        detected_14d=int((lead_days >= 14).sum()),
        detected_30d=int((lead_days >= 30).sum()),
        reviewed=contacts.reviews,
        review_minutes=review_minutes,
        contact_minutes=contact_minutes,
        claim=strategy.claim,
        detected_too_early=int(is_too_early.sum()),
    )
    return StrategyScore(result, flags, detection_day)


def compare_detection(
    score: StrategyScore, baseline: StrategyScore, context: BacktestContext
) -> MetricEstimate:
    """Compute the difference of two strategies' detection rates on the same resamples."""
    difference = (score.detection_day >= 0).astype(np.float64) - (baseline.detection_day >= 0)
    total = np.zeros(len(context.accounts))
    np.add.at(total, context.expansion_row, difference)
    return context.estimate_ratio(total, context.count_per_account(context.expansion_row))


def make_median_metric(values: Array, rows: Days) -> Metric:
    """Return a metric that computes a weighted median, with each value weighted by its account.

    ``values`` and ``rows``, the account of each value, have shape (n_values,); values without NaN.
    The metric is NaN without any value.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]

    def metric(weights: ResampleWeights) -> Array:
        if not len(ordered):
            return np.full(len(weights.row), np.nan)
        total = np.cumsum(weights.row[:, rows[order]], axis=1)
        half = total[:, -1:] / 2
        lower, upper = (passed.argmax(axis=1) for passed in (total >= half, total > half))
        return np.where(half[:, 0] > 0, (ordered[lower] + ordered[upper]) / 2, np.nan)

    return metric


def collect_flags_and_expansions(
    scores: Mapping[str, StrategyScore], context: BacktestContext, counted: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the flags of all strategies, and each expansion with the days it was detected.

    ``scores`` are by the strategies' names; ``counted`` holds the expansions in the context's
    order.
    """
    flags = [
        score.flags.select(pl.lit(name).alias("strategy"), pl.all())
        for name, score in scores.items()
    ]
    days = {
        name: utilization.columns_to_dates(score.detection_day, context.start)
        for name, score in scores.items()
    }
    return pl.concat(flags), counted.with_columns(**days)


def _label_contacts(contacts: ContactLog, context: BacktestContext) -> pl.DataFrame:
    flags = pl.DataFrame(
        {
            "account_id": context.accounts.gather(contacts.account),
            "day": pl.Series(contacts.day, dtype=pl.Int64),
        }
    ).with_columns(day=pl.lit(context.start) + pl.duration(days=pl.col("day")))
    expanded = expansions.label_flags(
        flags,
        context.contracts,
        end=context.end,
        rules=context.outcome_rules,
        within_days=context.outcome_rules.horizon_days,
    )
    return flags.with_columns(expanded=expanded)


def _find_first_flag(contacts: ContactLog, context: BacktestContext, since: Days) -> Days:
    """Return the first flag of each expansion's account from a day up to the expansion."""
    width = context.under_contract.shape[1] + 1
    flags = np.sort(contacts.account * width + contacts.day)
    row_offset = context.expansion_row * width
    index = np.searchsorted(flags, row_offset + np.maximum(since, 0))
    first_flag = np.append(flags, np.iinfo(np.int64).max)[index]
    return np.where(
        first_flag <= row_offset + context.expansion_day, first_flag - row_offset, _NO_FLAG
    )


def _compute_lag_days(contacts: ContactLog, context: BacktestContext) -> Array:
    """Return the days from the first day of full utilization to the first flag; NaN without one."""
    full_day = context.first_full_day
    since = np.maximum(full_day - context.window_days + 1, context.lookback_start)
    first_flag = _find_first_flag(contacts, context, since)
    return np.where((full_day >= 0) & (first_flag >= 0), first_flag - full_day, np.nan)


def _compute_condition_rate(
    strategy: Strategy, contacts: ContactLog, context: BacktestContext
) -> MetricEstimate:
    if not strategy.is_condition:
        return _NO_ESTIMATE
    days = np.cumsum(contacts.condition_met, axis=1)
    before = context.expansion_day - context.window_days
    until = days[context.expansion_row, context.expansion_day]
    earlier = np.where(before >= 0, days[context.expansion_row, np.maximum(before, 0)], 0)
    return context.estimate_share(np.asarray(until > earlier))


def _compute_median(values: Array, context: BacktestContext) -> MetricEstimate:
    is_known = ~np.isnan(values)
    return context.estimate(make_median_metric(values[is_known], context.expansion_row[is_known]))


def _compute_false_alarms(rows: Days, context: BacktestContext) -> MetricEstimate:
    # Flags of the last days have no matured label, so they are not counted.
    maturity_date = expansions.compute_maturity_date(context.end.date(), context.outcome_rules)
    labelled_days = (maturity_date - context.start).days - context.outcome_rules.horizon_days + 1
    quarters = context.to_csm_quarters(labelled_days)
    if quarters <= 0:
        return _NO_ESTIMATE
    false_alarms = context.count_per_account(rows)
    return context.estimate(lambda weights: weights.row @ false_alarms / quarters)


def _compute_missed(lead_days: Array, context: BacktestContext) -> MetricEstimate:
    missed = context.count_per_account(context.expansion_row[np.isnan(lead_days)])
    counted = slice(context.counted_columns.start, context.counted_columns.stop)
    days = context.under_contract[:, counted].sum(axis=1)
    return context.estimate_ratio(missed, days / (QUARTER_DAYS * PORTFOLIO_ACCOUNTS))
