"""Text of a backtest report: definitions, limitations, notes and verdict."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from data.config.settings import MONTH_DAYS, BacktestConfig
from training.backtest import scoring
from training.backtest.inputs import BacktestInputs
from training.backtest.result import BACKTEST_METRICS
from training.backtest.scoring import (
    PORTFOLIO_ACCOUNTS,
    QUARTER_DAYS,
    BacktestContext,
    StrategyScore,
)
from training.backtest.strategy_set import WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS
from training.backtest.utilization import DailyUtilization
from training.backtest.workload import TeamCapacity

__all__ = ["LIMITATIONS", "collect_notes", "define_terms", "format_verdict"]

LIMITATIONS: Final = (
    "No team acted on these flags. The history contains what was done at the time: if the team"
    " contacted accounts near their limits, contacts may have caused or hastened the expansions"
    " that the replay detects, most of all for the rule that the team followed.",
    "A flag that detects an expansion does not cause it: most of these accounts expanded without"
    " any such flag.",
    "Capacity is assumed to be available every week for this task alone; holidays, renewals and"
    " urgent cases took an unknown part of it.",
    "Every flag takes the same minutes in every strategy; a list that states reasons may take"
    " fewer, and a false alarm may end sooner.",
    "The replay is run once: the intervals show how much other accounts would have changed the"
    " metrics, not how those accounts would have competed for capacity.",
    "The model uses today's settings, which may have been chosen with knowledge of this history;"
    " each of its models was trained on data known at its cutoff.",
)


def define_terms(rules: BacktestConfig, horizon_days: int) -> dict[str, str]:
    """Return the definition of each term, with the values of these settings."""
    terms = {
        "flag": "An account handed to a CSM who contacts it, on a day. An account that a strategy"
        " offers while no CSM has time is not flagged.",
        "detected": "An expansion whose account was flagged on its day or in the"
        f" {rules.detection_window_days - 1} days before it. Expansions are those of the training"
        " labels, on the day they were booked. One flag can detect several.",
        "false alarm": "A flag without an expansion on its day or in the"
        f" {horizon_days - 1} days after it. Not counted while those days are not all known, or if"
        " the only increase in them cannot be distinguished from a price change.",
        "cool-down": f"A contacted account is not flagged again for {rules.cooldown_days} days,"
        " in any strategy and with any outcome.",
        "utilization": "The higher of seat utilization and the share of the usage limit, for"
        " accounts under paid contract, from rows known before the day.",
        "capacity": "The same for every strategy. Hours accrue evenly, day by day; unused hours"
        " accumulate up to one month's worth, which is also the initial stock.",
        "quarter": f"{QUARTER_DAYS} days.",
        "portfolio": f"{PORTFOLIO_ACCOUNTS} accounts under paid contract.",
        "claim": "The detection rate that vendors claim for such a strategy, without a definition"
        " or a source that can be checked.",
    }
    return {**terms, **BACKTEST_METRICS}


def collect_notes(
    inputs: BacktestInputs,
    daily: DailyUtilization,
    capacity: TeamCapacity,
    *,
    expansion_count: int,
    closely_repeated: int,
    window_days: int,
) -> list[str]:
    """Return assumptions and gaps of this data."""
    notes = []
    has_seats, has_limits = (
        np.isfinite(values).any() for values in (daily.seat_utilization, daily.usage_ratio)
    )
    if has_limits and not has_seats:
        notes.append("No account has licensed seats: utilization is that of the usage limits.")
    elif has_seats and not has_limits:
        notes.append("No account has a usage limit: utilization is that of the seats.")
    notes += _note_ample_capacity(inputs.weekly_snapshots, capacity)
    if len(inputs.folds) == 1:
        notes.append("Only one model was trained: the metrics cover a single cutoff.")
    if not expansion_count:
        notes.append("No expansion was booked in the counted days.")
    elif closely_repeated:
        notes.append(
            f"{closely_repeated:,} of {expansion_count:,} expansions came less than"
            f" {window_days} days after the account's previous one: one flag can detect both."
        )
    return notes + _note_late_data(inputs)


def _note_ample_capacity(weekly_snapshots: pl.DataFrame, capacity: TeamCapacity) -> list[str]:
    """Return a note if the capacity covers so much of the list that its order hardly matters."""
    listed = weekly_snapshots.height / max(weekly_snapshots["as_of"].n_unique(), 1)
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


def _note_late_data(inputs: BacktestInputs) -> list[str]:
    """Return notes on tables whose time of becoming known had to be assumed."""
    notes = []
    contracts = inputs.history.contracts
    without_booking_date = int((~contracts["booked"]).sum())
    if without_booking_date:
        notes.append(
            f"{without_booking_date:,} of {contracts.height:,} contract rows have no booking date:"
            " the effective date is used instead, so rows entered late appear to have been known"
            " in time."
        )
    known_late = inputs.history.activity.volume.select((pl.col("known_day") > pl.col("day")).any())
    if not known_late.collect().item():
        notes.append(
            "No event has a known_at later than its timestamp: files that arrived late appear to"
            " have been available in time, which favours strategies that run daily."
        )
    return notes


def format_verdict(scores: Mapping[str, StrategyScore], context: BacktestContext) -> str:
    """Summarize in one sentence what the model's list adds with the same capacity.

    It is compared with the strategy without a model that detected most, the first on a tie.
    """
    expansion_count = len(context.expansion_row)
    if not expansion_count:
        return "No expansion was booked in the counted days, so strategies cannot be compared."
    baselines = [
        score for name, score in scores.items() if name not in {WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS}
    ]
    if not baselines:
        return "No strategy without a model could be replayed, so there is nothing to compare."
    best = max(baselines, key=lambda score: score.result.detected)
    model_score = scores.get(WEEKLY_LIST)
    gain = scoring.compare_detection(model_score, best, context) if model_score else None
    if (
        model_score is None
        or gain is None
        or gain.value is None
        or gain.low is None
        or gain.high is None
    ):
        return (
            f"No model could be replayed; of the other strategies {best.result.name} detected most:"
            f" {_format_detection_rate(best)} of {expansion_count:,} expansions."
        )
    within_noise = gain.low <= 0 <= gain.high
    significance = "not significant" if within_noise else "significant"
    return (
        f"With equal capacity the {model_score.result.name} detected"
        f" {_format_detection_rate(model_score)} of {expansion_count:,} expansions; the best"
        f" strategy without a model, selected in hindsight, {best.result.name}, detected"
        f" {_format_detection_rate(best)}. The difference is {100 * gain.value:+.1f} points"
        f" ({100 * gain.low:+.1f} to {100 * gain.high:+.1f}), {significance}."
    )


def _format_detection_rate(score: StrategyScore) -> str:
    share = score.result.metrics["detection_rate"]
    if share.value is None or share.low is None or share.high is None:
        return "none"
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"
