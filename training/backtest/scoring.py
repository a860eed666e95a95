"""Score a strategy: detection rate, lead time, precision and false alarms."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.backtest import expansions
from training.backtest.context import QUARTER_DAYS, BacktestContext
from training.backtest.result import StrategyResult
from training.backtest.strategies import Strategy
from training.backtest.workload import ContactLog, TeamCapacity
from training.metrics import cluster_bootstrap
from training.metrics.cluster_bootstrap import Metric, MetricEstimate, ResampleWeights

__all__ = [
    "StrategyScore",
    "collect_flags_and_expansions",
    "compare_detection",
    "make_median_metric",
    "score_strategy",
]

PORTFOLIO_ACCOUNTS: Final = 80
_NO_FLAG: Final = -1
Array = NDArray[np.float64]
Days = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StrategyScore:
    """A strategy's result and the data it was computed from.

    Attributes
    ----------
    result : StrategyResult
        The metrics.
    flags : polars.DataFrame
        ``account_id``, ``day``, ``expanded`` of every flag.
    detection_day : numpy.ndarray of int, shape (n_expansions,)
        Column of the first flag that counts; negative if there is none.
    """

    result: StrategyResult
    flags: pl.DataFrame
    detection_day: Days


def score_strategy(
    strategy: Strategy, contacts: ContactLog, context: BacktestContext, capacity: TeamCapacity
) -> StrategyScore:
    """Compute the metrics of a strategy.

    Parameters
    ----------
    strategy, contacts
        The strategy, and the contacts simulated for it.
    context : BacktestContext
        Context against which every strategy is scored.
    capacity : TeamCapacity
        The team's capacity.

    Returns
    -------
    StrategyScore
        Metrics, flags, and detected expansions.
    """
    flags = _label_contacts(contacts, context)
    expanded = flags["expanded"]
    detection_day = _find_first_flag(
        contacts, context, context.expansion_day - context.window_days + 1
    )
    reached_in_replay = context.first_full_day >= 0
    window_start = np.maximum(
        context.first_full_day - context.window_days + 1, context.lookback_start
    )
    first_flag_when_full = _find_first_flag(contacts, context, window_start)
    is_too_early = (detection_day < 0) & (
        _find_first_flag(contacts, context, context.lookback_start) >= 0
    )
    lead_days = np.where(detection_day >= 0, context.expansion_day - detection_day, np.nan)
    lag_days = np.where(
        reached_in_replay & (first_flag_when_full >= 0),
        first_flag_when_full - context.first_full_day,
        np.nan,
    )
    hits, misses = (
        contacts.account[expanded.eq_missing(pl.Series([value])).to_numpy()]
        for value in (True, False)
    )
    review_minutes, contact_minutes = (
        contacts.reviews * capacity.minutes_per_review,
        len(contacts.account) * capacity.minutes_per_account,
    )
    estimates = {
        **_compute_detection_rates(lead_days, context),
        "condition_rate": _compute_condition_rate(strategy, contacts, context),
        "precision": _compute_precision(
            context.count_per_account(hits), context.count_per_account(misses), context
        ),
        "lag_days": _compute_median(lag_days, context),
        "lead_days": _compute_median(lead_days, context),
        "false_alarms": _compute_false_alarms(misses, context),
        "missed": _compute_missed(lead_days, context),
        "minutes": _make_exact_estimate(
            (review_minutes + contact_minutes)
            / context.to_csm_quarters(context.under_contract.shape[1])
        ),
    }
    result = StrategyResult(
        name=strategy.name,
        rule=strategy.rule,
        metrics=estimates,
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
    return _estimate_metric(
        cluster_bootstrap.ratio_metric(total, context.count_per_account(context.expansion_row)),
        context,
    )


def make_median_metric(values: Array, rows: Days) -> Metric:
    """Return a metric that computes a weighted median, with each value weighted by its account.

    Parameters
    ----------
    values : numpy.ndarray, shape (n_values,)
        Without NaN.
    rows : numpy.ndarray of int, shape (n_values,)
        The account of each value, among those that are resampled.

    Returns
    -------
    callable
        Maps a stack of resample weights to one median each; NaN without any value.
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


def _compute_detection_rates(
    lead_days: Array, context: BacktestContext
) -> dict[str, MetricEstimate]:
    expansions_per_account = context.count_per_account(context.expansion_row)
    min_lead_days = {"detection_rate": 0, "detection_rate_14d": 14, "detection_rate_30d": 30}
    return {
        name: _estimate_metric(
            cluster_bootstrap.ratio_metric(
                context.count_per_account(context.expansion_row[lead_days >= days]),
                expansions_per_account,
            ),
            context,
        )
        for name, days in min_lead_days.items()
    }


def _compute_condition_rate(
    strategy: Strategy, contacts: ContactLog, context: BacktestContext
) -> MetricEstimate:
    if not strategy.is_condition:
        return MetricEstimate(None, None, None)
    days = np.cumsum(contacts.condition_met, axis=1)
    before = context.expansion_day - context.window_days
    until = days[context.expansion_row, context.expansion_day]
    was_met = (
        until - np.where(before >= 0, days[context.expansion_row, np.maximum(before, 0)], 0) > 0
    )
    met_per_account = context.count_per_account(context.expansion_row[was_met])
    return _estimate_metric(
        cluster_bootstrap.ratio_metric(
            met_per_account, context.count_per_account(context.expansion_row)
        ),
        context,
    )


def _compute_precision(hits: Array, misses: Array, context: BacktestContext) -> MetricEstimate:
    return _estimate_metric(cluster_bootstrap.ratio_metric(hits, hits + misses), context)


def _compute_median(values: Array, context: BacktestContext) -> MetricEstimate:
    is_known = ~np.isnan(values)
    return _estimate_metric(
        make_median_metric(values[is_known], context.expansion_row[is_known]), context
    )


def _compute_false_alarms(rows: Days, context: BacktestContext) -> MetricEstimate:
    # Flags of the last days have no matured label, so they are not counted.
    matured_days = (
        expansions.compute_maturity_date(context.end.date(), context.outcome_rules) - context.start
    ).days
    quarters = context.to_csm_quarters(matured_days - context.outcome_rules.horizon_days + 1)
    if quarters <= 0:
        return MetricEstimate(None, None, None)
    false_alarms = context.count_per_account(rows)
    return _estimate_metric(lambda weights: weights.row @ false_alarms / quarters, context)


def _compute_missed(lead_days: Array, context: BacktestContext) -> MetricEstimate:
    missed = context.count_per_account(context.expansion_row[np.isnan(lead_days)])
    days = context.under_contract[
        :, context.counted_columns.start : context.counted_columns.stop
    ].sum(axis=1)
    portfolio_quarters = days / (QUARTER_DAYS * PORTFOLIO_ACCOUNTS)
    return _estimate_metric(cluster_bootstrap.ratio_metric(missed, portfolio_quarters), context)


def _estimate_metric(metric: Metric, context: BacktestContext) -> MetricEstimate:
    return cluster_bootstrap.compute_percentile_interval(context.bootstrap.evaluate(metric))


def _make_exact_estimate(value: float) -> MetricEstimate:
    """Return an estimate without an interval, for quantities without sampling error."""
    return MetricEstimate(float(value), None, None)


def collect_flags_and_expansions(
    scores: Mapping[str, StrategyScore], context: BacktestContext, counted: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the flags of all strategies, and each expansion with the days it was detected.

    Parameters
    ----------
    scores : mapping of str to StrategyScore
        By the strategies' names.
    context : BacktestContext
        Context against which they were scored.
    counted : polars.DataFrame
        The counted expansions, in the context's order.
    """
    flags = [
        score.flags.select(pl.lit(name).alias("strategy"), pl.all())
        for name, score in scores.items()
    ]
    days = {
        name: _columns_to_dates(score.detection_day, context.start)
        for name, score in scores.items()
    }
    return pl.concat(flags), counted.with_columns(**days)


def _columns_to_dates(columns: Days, start: date) -> pl.Series:
    frame = pl.DataFrame({"column": columns})
    day = (pl.lit(start) + pl.duration(days=pl.col("column"))).cast(pl.Date)
    return frame.select(date=pl.when(pl.col("column") >= 0).then(day))["date"]
