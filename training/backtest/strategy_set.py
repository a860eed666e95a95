"""The set of strategies that a backtest compares."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data.config.settings import Playbook, Settings
from training.backtest import expansions, strategies, weekly_rankings
from training.backtest.inputs import BacktestInputs
from training.backtest.strategies import Strategy
from training.backtest.utilization import DailyUtilization
from training.evaluation import baselines
from training.rules import tiers

__all__ = ["WEEKLY_LIST", "WEEKLY_LIST_AND_EVENTS", "build_strategies"]

Array = NDArray[np.float64]
WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS = "model's weekly list", "weekly list and events"
_REVIEW_UTILIZATION: Final = 0.75  # above it, a manual review flags an account
_EVENT_RULE_DAYS: Final = 3  # consecutive days before the event rule fires
_MANUAL_REVIEWS = (("manual review, weekly", 7), ("manual review, monthly", 30))


def build_strategies(
    inputs: BacktestInputs, settings: Settings, daily: DailyUtilization
) -> tuple[list[Strategy], dict[str, str]]:
    """Build the strategies that this data allows, in display order, and list the others.

    Parameters
    ----------
    inputs : BacktestInputs
        Models and weekly snapshots.
    settings : Settings
        ``backtest``: threshold of the rules.
    daily : DailyUtilization
        From ``UTILIZATION_LOOKBACK_DAYS`` before the replay.

    Returns
    -------
    available : list of Strategy
        Strategies to simulate.
    unavailable : dict of str to str
        Name → reason.
    """
    available: list[Strategy] = []
    unavailable: dict[str, str] = {}
    for name, strategy_or_reason in _iter_strategies(inputs, settings, daily):
        if isinstance(strategy_or_reason, str):
            unavailable[name] = strategy_or_reason
        else:
            available.append(strategy_or_reason)
    return available, unavailable


def _iter_strategies(
    inputs: BacktestInputs, settings: Settings, daily: DailyUtilization
) -> Iterator[tuple[str, Strategy | str]]:
    rules = settings.backtest
    utilization = daily.max_utilization[:, expansions.UTILIZATION_LOOKBACK_DAYS :]
    no_limits_reason = (
        "" if np.isfinite(utilization).any() else "no account has licensed seats or a usage limit."
    )
    for name, every_days in _MANUAL_REVIEWS:
        manual_review = strategies.build_manual_review(
            name, utilization, threshold=_REVIEW_UTILIZATION, every_days=every_days
        )
        yield name, no_limits_reason or manual_review
    crm_rule = strategies.build_crm_rule(utilization, threshold=rules.rule_utilization)
    yield crm_rule.name, no_limits_reason or crm_rule
    event_rule = strategies.build_event_rule(
        daily.max_utilization,
        threshold=rules.rule_utilization,
        min_days=_EVENT_RULE_DAYS,
        lookback_columns=expansions.UTILIZATION_LOOKBACK_DAYS,
    )
    yield event_rule.name, no_limits_reason or event_rule

    def weekly_scores(score: pl.Expr) -> Array:
        return weekly_rankings.compute_column_scores(
            score, inputs.weekly_snapshots, daily.accounts, inputs.start, inputs.day_count
        )

    tier_rules = settings.playbook
    tier_strategy = strategies.build_weekly_list(
        "tier rules",
        f"Every week, tier 1 (seats above {tier_rules.seat_utilization:.0%} and new users, or API"
        f" volume up by {tier_rules.api_growth:.0%} with {tier_rules.usage_utilization:.0%} of its"
        " limit used), then tier 2 (adoption, departments or integrations growing), the highest"
        " utilization first.",
        weekly_scores(_score_tier(tier_rules)),
        is_condition=True,
    )
    yield tier_strategy.name, tier_strategy
    health_rule = "Every week, the accounts with the highest health score first."
    yield (
        "health score",
        strategies.build_weekly_list(
            "health score", health_rule, weekly_scores(baselines.health_score())
        ),
    )
    logins = weekly_scores(pl.col("logins_30d"))
    yield (
        "login volume",
        strategies.build_weekly_list(
            "login volume", "Every week, the accounts with the most logins first.", logins
        )
        if np.nansum(logins) > 0
        else "no event in the log has the role login.",
    )
    if inputs.models is None:
        yield WEEKLY_LIST, inputs.no_model_reason
        yield WEEKLY_LIST_AND_EVENTS, inputs.no_model_reason
        return
    scores = weekly_rankings.compute_model_scores(
        inputs.models, inputs.weekly_snapshots, daily.accounts, inputs.start, inputs.day_count
    )
    model_strategy = strategies.build_weekly_list(
        WEEKLY_LIST,
        "Every week, the model's list from the top, by the latest model at that time.",
        scores,
    )
    yield WEEKLY_LIST, model_strategy
    yield (
        WEEKLY_LIST_AND_EVENTS,
        no_limits_reason
        or strategies.combine_strategies(
            WEEKLY_LIST_AND_EVENTS,
            "The model's weekly list, and the event rule on the days between.",
            model_strategy,
            event_rule,
        ),
    )


def _score_tier(rules: Playbook) -> pl.Expr:
    """Rank tier 1 before tier 2, and by utilization within a tier."""
    utilization = pl.max_horizontal("seat_utilization", "usage_ratio").fill_null(0.0)
    # Increasing in utilization, but bounded so that it never reaches the next tier.
    return (3 - tiers.account_tier(rules)) + utilization / (1 + utilization)
