"""Text of a backtest report: definitions, limitations, notes and verdict."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from data.config.settings import Settings
from training.backtest.context import QUARTER_DAYS
from training.backtest.result import BACKTEST_METRICS
from training.backtest.scoring import PORTFOLIO_ACCOUNTS, StrategyScore
from training.metrics.cluster_bootstrap import MetricEstimate

__all__ = ["LIMITATIONS", "define_terms", "describe_late_data", "format_verdict"]

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


def define_terms(settings: Settings) -> dict[str, str]:
    """Return the definition of each term, with the values of these settings."""
    rules, horizon = settings.backtest, settings.outcome.horizon_days
    terms = {
        "flag": "An account handed to a CSM who contacts it, on a day. An account that a strategy"
        " offers while no CSM has time is not flagged.",
        "detected": "An expansion whose account was flagged on its day or in the"
        f" {rules.detection_window_days - 1} days before it. Expansions are those of the training"
        " labels, on the day they were booked. One flag can detect several.",
        "false alarm": f"A flag without an expansion on its day or in the {horizon - 1} days after"
        " it. Not counted while those days are not all known, or if the only increase in them"
        " cannot be distinguished from a price change.",
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


def format_verdict(
    model_score: StrategyScore | None,
    best_baseline: StrategyScore | None,
    gain: MetricEstimate | None,
    expansion_count: int,
) -> str:
    """Summarize in one sentence what the model's list adds with the same capacity.

    Parameters
    ----------
    model_score, best_baseline : StrategyScore or None
        The model's weekly list, and the strategy without a model that detected most.
    gain : MetricEstimate or None
        Difference of their detection rates.
    expansion_count : int
        Counted expansions.
    """
    if not expansion_count:
        return "No expansion was booked in the counted days, so strategies cannot be compared."
    if best_baseline is None:
        return "No strategy without a model could be replayed, so there is nothing to compare."
    baseline_name, baseline_rate = best_baseline.result.name, _format_detection_rate(best_baseline)
    if (
        model_score is None
        or gain is None
        or gain.value is None
        or gain.low is None
        or gain.high is None
    ):
        return (
            f"No model could be replayed; of the other strategies {baseline_name} detected most:"
            f" {baseline_rate} of {expansion_count:,} expansions."
        )
    within_noise = gain.low <= 0 <= gain.high
    significance = "not significant" if within_noise else "significant"
    return (
        f"With equal capacity the {model_score.result.name} detected"
        f" {_format_detection_rate(model_score)} of {expansion_count:,} expansions; the best"
        f" strategy without a model, selected in hindsight, {baseline_name}, detected"
        f" {baseline_rate}. The difference is {100 * gain.value:+.1f} points"
        f" ({100 * gain.low:+.1f} to {100 * gain.high:+.1f}), {significance}."
    )


def select_best(scores: Sequence[StrategyScore]) -> StrategyScore | None:
    """Return the strategy that detected most; the first on a tie."""
    return max(scores, key=lambda score: score.result.detected, default=None)


def describe_late_data(contracts: pl.DataFrame, *, events_lag: bool) -> list[str]:
    """Return notes on tables whose time of becoming known had to be assumed."""
    notes = []
    without_booking_date = int((~contracts["booked"]).sum())
    if without_booking_date:
        notes.append(
            f"{without_booking_date:,} of {contracts.height:,} contract rows have no booking date:"
            " the effective date is used instead, so rows entered late appear to have been known"
            " in time."
        )
    if not events_lag:
        notes.append(
            "No event has a known_at later than its timestamp: files that arrived late appear to"
            " have been available in time, which favours strategies that run daily."
        )
    return notes


def _format_detection_rate(score: StrategyScore) -> str:
    share = score.result.metrics["detection_rate"]
    if share.value is None or share.low is None or share.high is None:
        return "none"
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"
