"""The set of strategies that a backtest compares."""

from typing import Final

import numpy as np
import polars as pl

from data.config.settings import Playbook
from training.backtest import expansions, strategies, utilization
from training.backtest.inputs import BacktestInputs
from training.backtest.strategies import Array, Strategy
from training.backtest.utilization import DailyUtilization
from training.evaluation import baselines
from training.rules import tiers

__all__ = ["WEEKLY_LIST", "WEEKLY_LIST_AND_EVENTS", "build_strategies"]

WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS = "model's weekly list", "weekly list and events"
_REVIEW_UTILIZATION: Final = 0.75  # above it, a manual review flags an account
_EVENT_RULE_DAYS: Final = 3  # consecutive days before the event rule fires
_MANUAL_REVIEWS = (("manual review, weekly", 7), ("manual review, monthly", 30))


def build_strategies(
    inputs: BacktestInputs, daily: DailyUtilization, playbook: Playbook, *, threshold: float
) -> tuple[list[Strategy], dict[str, str]]:
    """Build the strategies that this data allows, in display order, and the reason of the others.

    ``daily`` starts ``UTILIZATION_LOOKBACK_DAYS`` before the replay; ``threshold`` is the
    utilization at which the rules flag an account.
    """
    in_replay = daily.max_utilization[:, expansions.UTILIZATION_LOOKBACK_DAYS :]
    no_limits_reason = (
        "" if np.isfinite(in_replay).any() else "no account has licensed seats or a usage limit."
    )
    event_rule = strategies.build_event_rule(
        daily.max_utilization,
        threshold=threshold,
        min_days=_EVENT_RULE_DAYS,
        lookback_columns=expansions.UTILIZATION_LOOKBACK_DAYS,
    )
    by_utilization = [
        *(
            strategies.build_manual_review(
                name, in_replay, threshold=_REVIEW_UTILIZATION, every_days=every_days
            )
            for name, every_days in _MANUAL_REVIEWS
        ),
        strategies.build_crm_rule(in_replay, threshold=threshold),
        event_rule,
    ]
    with_reason = [(strategy, no_limits_reason) for strategy in by_utilization]
    with_reason += _build_column_rankings(inputs, playbook, daily)
    if inputs.folds:
        model_list = strategies.build_weekly_list(
            WEEKLY_LIST,
            "Every week, the model's list from the top, by the latest model at that time.",
            _to_matrix(inputs.compute_model_scores(), inputs, daily),
        )
        list_and_events = strategies.combine_strategies(
            WEEKLY_LIST_AND_EVENTS,
            "The model's weekly list, and the event rule on the days between.",
            model_list,
            event_rule,
        )
        with_reason += [(model_list, ""), (list_and_events, no_limits_reason)]
    unavailable = {strategy.name: reason for strategy, reason in with_reason if reason}
    if not inputs.folds:
        unavailable |= dict.fromkeys((WEEKLY_LIST, WEEKLY_LIST_AND_EVENTS), inputs.no_model_reason)
    return [strategy for strategy, reason in with_reason if not reason], unavailable


def _build_column_rankings(
    inputs: BacktestInputs, rules: Playbook, daily: DailyUtilization
) -> list[tuple[Strategy, str]]:
    """Build the weekly lists that need no model, each with the reason if it cannot be replayed."""

    def weekly_scores(score: pl.Expr) -> Array:
        scored = inputs.weekly_snapshots.select("account_id", "as_of", score=score)
        return _to_matrix(scored, inputs, daily)

    tier_rules = strategies.build_weekly_list(
        "tier rules",
        f"Every week, tier 1 (seats above {rules.seat_utilization:.0%} and new users, or API"
        f" volume up by {rules.api_growth:.0%} with {rules.usage_utilization:.0%} of its"
        " limit used), then tier 2 (adoption, departments or integrations growing), the highest"
        " utilization first.",
        weekly_scores(_score_tier(rules)),
        is_condition=True,
    )
    health_score = strategies.build_weekly_list(
        "health score",
        "Every week, the accounts with the highest health score first.",
        weekly_scores(baselines.health_score()),
    )
    logins = weekly_scores(pl.col("logins_30d"))
    login_volume = strategies.build_weekly_list(
        "login volume", "Every week, the accounts with the most logins first.", logins
    )
    no_login_reason = "" if np.nansum(logins) > 0 else "no event in the log has the role login."
    return [(tier_rules, ""), (health_score, ""), (login_volume, no_login_reason)]


def _score_tier(rules: Playbook) -> pl.Expr:
    """Rank tier 1 before tier 2, and by utilization within a tier."""
    highest = pl.max_horizontal("seat_utilization", "usage_ratio").fill_null(0.0)
    # Increasing in utilization, but bounded so that it never reaches the next tier.
    return (3 - tiers.account_tier(rules)) + highest / (1 + highest)


def _to_matrix(scored: pl.DataFrame, inputs: BacktestInputs, daily: DailyUtilization) -> Array:
    """Arrange scores by account and day; NaN without a snapshot that day, or without a value."""
    rows = scored.join(utilization.number_accounts(daily.accounts), on="account_id").with_columns(
        column=(pl.col("as_of") - pl.lit(inputs.start)).dt.total_days()
    )
    matrix = np.full((len(daily.accounts), inputs.day_count), np.nan)
    score = rows["score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    matrix[rows["row"].to_numpy(), rows["column"].to_numpy()] = score
    return matrix
