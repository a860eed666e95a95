"""What a backtest says in words: its terms, what it assumed, what it cannot know."""

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
    "Nobody acted on these flags. What was done at the time is in the history: if the team worked"
    " full accounts then, contacts may have caused or hastened the very expansions that the replay"
    " finds, and most of all for the rule the team followed.",
    "A flag that catches an expansion is not one that causes it: most of these accounts expanded"
    " with nobody replaying anything.",
    "The hours are taken to be there in every week, for this alone: holidays, renewals and fires"
    " took some of them, and we do not know which.",
    "Every flag takes the same minutes, whichever way raised it; a list that says why may take"
    " fewer, and a false alarm may end sooner.",
    "The replay is run once: the intervals say how much other accounts would have changed the"
    " figures, not how the accounts would then have competed for the hours.",
    "The model's settings are those of today, and may have been chosen with this history in sight;"
    " each of its models was trained on what was known at its cut.",
)


def define_terms(settings: Settings) -> dict[str, str]:
    """Say what each term means, with the numbers of these settings."""
    rules, horizon = settings.backtest, settings.outcome.horizon_days
    terms = {
        "flag": "An account handed to a CSM who has the time, and works it, on a day. What a way"
        " points at while nobody has the time is no flag.",
        "caught": f"An expansion whose account was flagged on its day or in the"
        f" {rules.detection_window_days - 1} days before it. An expansion is what the outcomes of"
        " training call one, on the day it was booked. One flag can catch several.",
        "false alarm": f"A flag without an expansion on its day or in the {horizon - 1} days after"
        " it. Not counted while those days are not all known, or where the only rise in them cannot"
        " be told from a change of price.",
        "rest": f"An account that was worked is not flagged again for {rules.cooldown_days} days,"
        " whichever way flagged it, and whatever came of it.",
        "use": "The higher of seat utilisation and the share of the usage limit, of accounts under"
        " paid contract, from rows known before the day.",
        "hours": "The same for every way. They come in evenly, day by day; what is not used is"
        " kept, up to a month's worth, which the team starts with.",
        "quarter": f"{QUARTER_DAYS} days.",
        "book": f"{PORTFOLIO_ACCOUNTS} accounts under paid contract.",
        "claim": "What vendors say that such a way catches: their figures, without a definition or"
        " a source that could be checked.",
    }
    return {**terms, **BACKTEST_METRICS}


def format_verdict(
    model_score: StrategyScore | None,
    best_baseline: StrategyScore | None,
    gain: MetricEstimate | None,
    expansion_count: int,
) -> str:
    """Say in one sentence what the model's list adds with the same hours.

    Parameters
    ----------
    model_score, best_baseline : Verdict or None
        The model's weekly list, and of the ways without a model the one that caught most.
    gain : training.metrics.cluster_bootstrap.MetricEstimate or None
        How much more of the expansions the first caught, as a share.
    expansion_count : int
        Expansions in all.
    """
    if not expansion_count:
        return "No expansion was booked in the days that count: there is nothing to compare by."
    if best_baseline is None:
        return "No way of working without a model could be replayed: there is nothing to compare."
    if (
        model_score is None
        or gain is None
        or gain.value is None
        or gain.low is None
        or gain.high is None
    ):
        return (
            f"No model could be replayed; of the other ways {best_baseline.result.name} caught most:"
            f" {_format_catch_rate(best_baseline)} of {expansion_count:,} expansions."
        )
    within_noise = gain.low <= 0 <= gain.high
    significance = "which is not beyond noise" if within_noise else "which is beyond noise"
    return (
        f"With the same hours the {model_score.result.name} caught {_format_catch_rate(model_score)} of {expansion_count:,} expansions, and"
        f" the best of the ways without a model, in hindsight, {best_baseline.result.name}, {_format_catch_rate(best_baseline)}: a"
        f" difference of {100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to"
        f" {100 * gain.high:+.1f}), {significance}."
    )


def select_best(scores: Sequence[StrategyScore]) -> StrategyScore | None:
    """The way that caught most; of equal ones the first."""
    return max(scores, key=lambda one: one.result.caught, default=None)


def describe_late_data(contracts: pl.DataFrame, *, events_lag: bool) -> list[str]:
    """Say for which tables the moment of becoming known had to be assumed."""
    notes = []
    without_booking_date = int((~contracts["booked"]).sum())
    if without_booking_date:
        notes.append(
            f"{without_booking_date:,} of {contracts.height:,} contract rows do not say when they were booked:"
            " the day they came into force stands in, so what was entered late looks as if it had"
            " been known in time."
        )
    if not events_lag:
        notes.append(
            "No event says that it became known later than it happened: a file that came late looks"
            " as if it had been there in time, which favours whatever looks daily."
        )
    return notes


def _format_catch_rate(score: StrategyScore) -> str:
    share = score.result.figures["share_flagged"]
    if share.value is None or share.low is None or share.high is None:
        return "none"
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"
