"""Run a backtest: models, weekly rankings, daily utilization, strategies and simulated workload."""

from datetime import timedelta

import numpy as np
import polars as pl

from data.config.settings import (
    BacktestConfig,
    OutcomeConfig,
    SeatsConfig,
    Settings,
    TablesConfig,
)
from features.panel import user_activity
from training.backtest import expansions, scoring, strategy_set, text, utilization
from training.backtest.inputs import BacktestInputs, prepare_inputs
from training.backtest.result import BacktestResult
from training.backtest.scoring import BacktestContext, StrategyScore
from training.backtest.utilization import DailyUtilization
from training.backtest.workload import TeamCapacity, simulate_workload
from training.metrics.cluster_bootstrap import ClusterBootstrap
from training.pipeline.training_run import ProgressCallback, TrainingHistory
from training.rules import team_capacity

__all__ = ["replay_history", "run_backtest"]


def run_backtest(
    history: TrainingHistory, settings: Settings, *, progress: ProgressCallback | None = None
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
    inputs = prepare_inputs(history, settings, progress=progress)
    return replay_history(inputs, settings, progress=progress)


def replay_history(
    inputs: BacktestInputs, settings: Settings, *, progress: ProgressCallback | None = None
) -> BacktestResult:
    """Compare the strategies on prepared inputs; see :func:`run_backtest`."""
    rules = settings.backtest
    capacity, csm_count, capacity_notes = _resolve_team_capacity(inputs, settings)
    daily = _build_utilization(inputs, settings.tables, settings.seats)
    counted = _select_counted_expansions(inputs, daily, rules, settings.outcome)
    context = _build_context(inputs, settings, daily, counted, csm_count=csm_count)
    strategies, unavailable = strategy_set.build_strategies(
        inputs, daily, settings.playbook, threshold=rules.rule_utilization
    )
    scores: dict[str, StrategyScore] = {}
    for position, strategy in enumerate(strategies):
        contacts = simulate_workload(strategy, context.under_contract, capacity)
        scores[strategy.name] = scoring.score_strategy(strategy, contacts, context, capacity)
        if progress:
            progress("strategies", position + 1, len(strategies))
    flags, expanded = scoring.collect_flags_and_expansions(
        scores, context, counted.drop("before", "since")
    )
    days_since_previous = (pl.col("day") - pl.col("before")).dt.total_days()
    closely_repeated = counted.filter(days_since_previous < rules.detection_window_days).height
    notes = text.collect_notes(
        inputs,
        daily,
        capacity,
        expansion_count=counted.height,
        closely_repeated=closely_repeated,
        window_days=rules.detection_window_days,
    )
    return BacktestResult(
        start=inputs.start,
        end=inputs.end,
        counted_from=inputs.start + timedelta(days=context.counted_columns.start),
        counted_until=inputs.start + timedelta(days=context.counted_columns.stop),
        accounts=float(context.under_contract.sum() / inputs.day_count),
        expansions=counted.height,
        closely_repeated=closely_repeated,
        strategies=tuple(score.result for score in scores.values()),
        unavailable=unavailable,
        csms=csm_count,
        minutes_per_month=capacity.minutes_per_month,
        minutes_per_account=capacity.minutes_per_account,
        review_minutes=capacity.minutes_per_review,
        cooldown_days=rules.cooldown_days,
        detection_window_days=rules.detection_window_days,
        definitions=text.define_terms(rules, settings.outcome.horizon_days),
        notes=(*capacity_notes, *notes),
        limitations=text.LIMITATIONS,
        verdict=text.format_verdict(scores, context),
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


def _build_utilization(
    inputs: BacktestInputs, rules: TablesConfig, seats: SeatsConfig
) -> DailyUtilization:
    """Compute daily utilization, starting the longest lookback before the replay."""
    lookback_days = expansions.UTILIZATION_LOOKBACK_DAYS
    tables = inputs.history.tables
    users = user_activity.prepare_users(
        tables.users.rows,
        tables.accounts.rows,
        rules.time_invariant_attributes,
        rules.known_at_reliable_from,
    )
    return utilization.build_daily_utilization(
        inputs.history.activity,
        inputs.history.contracts,
        first_day=inputs.start - timedelta(days=lookback_days),
        days=inputs.day_count + lookback_days,
        seat_days=seats.window_days,
        free_seat_users=user_activity.free_seat_users(users),
    )


def _select_counted_expansions(
    inputs: BacktestInputs, daily: DailyUtilization, rules: BacktestConfig, outcome: OutcomeConfig
) -> pl.DataFrame:
    """Select the expansions that count, with the first day of full utilization before each."""
    since = inputs.start + timedelta(days=rules.detection_window_days)
    counted = expansions.find_expansions(
        inputs.history.contracts, end=inputs.history.as_of, rules=outcome
    ).filter(pl.col("day") >= since)
    first_full = expansions.find_first_full_day(counted, daily, threshold=rules.rule_utilization)
    return counted.with_columns(full_from=first_full)


def _build_context(
    inputs: BacktestInputs,
    settings: Settings,
    daily: DailyUtilization,
    counted: pl.DataFrame,
    *,
    csm_count: int,
) -> BacktestContext:
    """Map expansions and contracts to the rows and columns of the replay."""
    rows = counted.join(
        utilization.number_accounts(daily.accounts), on="account_id", maintain_order="left"
    )
    day, first_full, since = (
        (rows[name] - inputs.start).dt.total_days().fill_null(-1).to_numpy()
        for name in ("day", "full_from", "since")
    )
    window_days = settings.backtest.detection_window_days
    maturity_date = expansions.compute_maturity_date(inputs.end, settings.outcome)
    return BacktestContext(
        accounts=daily.accounts,
        start=inputs.start,
        under_contract=daily.paid[:, expansions.UTILIZATION_LOOKBACK_DAYS :],
        counted_columns=range(window_days, (maturity_date - inputs.start).days),
        expansion_row=rows["row"].to_numpy().astype(np.int64),
        expansion_day=day,
        first_full_day=first_full,
        lookback_start=since,
        contracts=inputs.history.contracts,
        end=inputs.history.as_of,
        outcome_rules=settings.outcome,
        window_days=window_days,
        csm_count=csm_count,
        bootstrap=ClusterBootstrap(
            np.arange(len(daily.accounts)),
            resamples=settings.evaluation.n_bootstrap,
            seed=settings.model.seed,
        ),
    )
