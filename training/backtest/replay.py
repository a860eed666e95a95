"""Run a backtest: models, weekly rankings, daily utilization, strategies and simulated workload."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import numpy as np
import polars as pl

from data.config.settings import MONTH_DAYS, Settings
from training.backtest import scoring, strategy_set, text
from training.backtest.context import (
    BacktestContext,
    build_context,
    build_utilization,
    select_counted_expansions,
)
from training.backtest.inputs import BacktestInputs, prepare_inputs
from training.backtest.result import BacktestResult
from training.backtest.scoring import StrategyScore
from training.backtest.utilization import DailyUtilization
from training.backtest.workload import TeamCapacity, simulate_workload
from training.pipeline.training_run import TrainingHistory
from training.rules import team_capacity

__all__ = ["replay_history", "run_backtest"]

Progress = Callable[[str, int, int], None]


def run_backtest(
    history: TrainingHistory, settings: Settings, *, progress: Progress | None = None
) -> BacktestResult:
    """Replay history day by day with only the data known at the time, and compare strategies.

    Parameters
    ----------
    history : TrainingHistory
        All data up to an as-of.
    settings : Settings
        Outcome, model and evaluation; the team and its hours; ``backtest``.
    progress : callable, optional
        Called with the stage, the steps done, and the total number of steps.

    Returns
    -------
    BacktestResult
        The strategies side by side, with assumptions and limitations.

    Raises
    ------
    data.errors.HistoryError
        If the history has no day whose expansions can be counted.
    """
    return replay_history(
        prepare_inputs(history, settings, progress=progress), settings, progress=progress
    )


def replay_history(
    inputs: BacktestInputs, settings: Settings, *, progress: Progress | None = None
) -> BacktestResult:
    """Compare the strategies on prepared inputs; see :func:`run_backtest`."""
    rules = settings.backtest
    capacity, csm_count, capacity_notes = _resolve_team_capacity(inputs, settings)
    daily = build_utilization(inputs, settings)
    counted = select_counted_expansions(inputs, settings, daily)
    context = build_context(inputs, settings, daily, counted, csm_count=csm_count)
    strategies, unavailable = strategy_set.build_strategies(inputs, settings, daily)
    scores: dict[str, StrategyScore] = {}
    for position, strategy in enumerate(strategies):
        scores[strategy.name] = scoring.score_strategy(
            strategy,
            simulate_workload(strategy, context.under_contract, capacity),
            context,
            capacity,
        )
        if progress:
            progress("strategies", position + 1, len(strategies))
    flags, expanded = scoring.collect_flags_and_expansions(
        scores, context, counted.drop("before", "since")
    )
    days_since_previous = (pl.col("day") - pl.col("before")).dt.total_days()
    repeated = counted.filter(days_since_previous < rules.detection_window_days).height
    return BacktestResult(
        start=inputs.start,
        end=inputs.end,
        counted_from=inputs.start + timedelta(days=context.counted_columns.start),
        counted_until=inputs.start + timedelta(days=context.counted_columns.stop),
        accounts=float(context.under_contract.sum() / inputs.day_count),
        expansions=counted.height,
        closely_repeated=repeated,
        strategies=tuple(score.result for score in scores.values()),
        unavailable=unavailable,
        csms=csm_count,
        minutes_per_month=capacity.minutes_per_month,
        minutes_per_account=capacity.minutes_per_account,
        review_minutes=capacity.minutes_per_review,
        cooldown_days=rules.cooldown_days,
        detection_window_days=rules.detection_window_days,
        definitions=text.define_terms(settings),
        notes=tuple(
            capacity_notes
            + _collect_notes(inputs, settings, daily, counted, capacity, repeated=repeated)
        ),
        limitations=text.LIMITATIONS,
        verdict=_format_verdict(scores, context),
        flags=flags,
        expanded=expanded,
    )


def _resolve_team_capacity(
    inputs: BacktestInputs, settings: Settings
) -> tuple[TeamCapacity, int, list[str]]:
    """Return the team's capacity, the number of CSMs, and notes on where the numbers come from."""
    accounts = inputs.history.tables.accounts.rows
    named_csms = accounts["csm"].drop_nulls().n_unique() if "csm" in accounts.columns else 0
    csm_count = settings.team.csms or named_csms
    contact_capacity = team_capacity.resolve_capacity(settings, accounts)
    explanation = contact_capacity.explanation[:1].upper() + contact_capacity.explanation[1:]
    notes = [explanation.replace("per as-of date", "per 30 days")]
    if not csm_count:
        notes.append(
            "The number of CSMs is unknown: metrics per CSM treat the team as one. Set team.csms."
        )
    minutes = settings.team.minutes_per_account
    capacity = TeamCapacity(
        contact_capacity.accounts * minutes,
        minutes,
        settings.backtest.review_minutes,
        settings.backtest.cooldown_days,
    )
    return capacity, csm_count or 1, notes


def _collect_notes(
    inputs: BacktestInputs,
    settings: Settings,
    daily: DailyUtilization,
    counted: pl.DataFrame,
    capacity: TeamCapacity,
    *,
    repeated: int,
) -> list[str]:
    """Return assumptions and gaps of this data."""
    notes = []
    has_seats, has_limits = (
        np.isfinite(utilization).any()
        for utilization in (daily.seat_utilization, daily.usage_ratio)
    )
    if has_limits and not has_seats:
        notes.append("No account has licensed seats: utilization is that of the usage limits.")
    elif has_seats and not has_limits:
        notes.append("No account has a usage limit: utilization is that of the seats.")
    notes += _note_ample_capacity(inputs, capacity)
    if inputs.models is not None and len(inputs.models.folds) == 1:
        notes.append("Only one model was trained: the metrics cover a single cutoff.")
    if not counted.height:
        notes.append("No expansion was booked in the counted days.")
    elif repeated:
        notes.append(
            f"{repeated:,} of {counted.height:,} expansions came less than"
            f" {settings.backtest.detection_window_days} days after the account's previous one: one"
            " flag can detect both."
        )
    known_late = inputs.history.activity.volume.select((pl.col("known_day") > pl.col("day")).any())
    return notes + text.describe_late_data(
        inputs.history.contracts, events_lag=bool(known_late.collect().item())
    )


def _note_ample_capacity(inputs: BacktestInputs, capacity: TeamCapacity) -> list[str]:
    """Return a note if the capacity covers so much of the list that its order hardly matters."""
    listed = inputs.weekly_snapshots.height / max(inputs.weekly_snapshots["as_of"].n_unique(), 1)
    workable = (
        capacity.minutes_per_month
        / capacity.minutes_per_account
        * capacity.cooldown_days
        / MONTH_DAYS
    )
    if 2 * workable < listed:
        return []
    return [
        f"During a cool-down of {capacity.cooldown_days} days the team can contact"
        f" {workable:,.0f} accounts, and {listed:,.0f} are eligible on average: any list then flags"
        " most of them, regardless of its order."
    ]


def _format_verdict(scores: Mapping[str, StrategyScore], context: BacktestContext) -> str:
    model_score = scores.get(strategy_set.WEEKLY_LIST)
    model_strategies = (strategy_set.WEEKLY_LIST, strategy_set.WEEKLY_LIST_AND_EVENTS)
    baselines = [score for name, score in scores.items() if name not in model_strategies]
    best_baseline = text.select_best(baselines)
    gain = (
        scoring.compare_detection(model_score, best_baseline, context)
        if model_score and best_baseline
        else None
    )
    return text.format_verdict(model_score, best_baseline, gain, len(context.expansion_row))
