"""Backtest results without a backtest, for the tests of pages and tables."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from training.backtest import BACKTEST_METRICS, BacktestResult, StrategyResult
from training.metrics.cluster_bootstrap import MetricEstimate

UNKNOWN = MetricEstimate(None, None, None)


def build_strategy_result(
    name: str, metrics: Mapping[str, MetricEstimate], claim: str | None = None
) -> StrategyResult:
    """Build a strategy with the given metrics; the others are unknown."""
    return StrategyResult(
        name=name,
        rule=f"{name} flags when it does.",
        metrics=dict.fromkeys(BACKTEST_METRICS, UNKNOWN) | metrics,
        flags=219,
        hits=80,
        false_alarms=120,
        detected=57,
        detected_14d=40,
        detected_30d=17,
        reviewed=0,
        review_minutes=0.0,
        contact_minutes=13140.0,
        claim=claim,
    )


def build_backtest_result(*strategies: StrategyResult, **changes: Any) -> BacktestResult:
    """Build a result of ten months with the given strategies."""
    values: dict[str, Any] = {
        "start": date(2025, 8, 5),
        "end": date(2026, 6, 1),
        "counted_from": date(2025, 10, 4),
        "counted_until": date(2026, 5, 25),
        "accounts": 634.2,
        "expansions": 159,
        "closely_repeated": 6,
        "unavailable": {"login volume": "the log has no logins."},
        "csms": 8,
        "minutes_per_month": 1200.0,
        "minutes_per_account": 60.0,
        "review_minutes": 2.0,
        "cooldown_days": 60,
        "detection_window_days": 60,
        "definitions": {"flag": "An account handed to a CSM.", **BACKTEST_METRICS},
        "notes": ("No capacity is set: 20 accounts per 30 days are assumed.",),
        "limitations": ("No team acted on these flags.",),
        "verdict": "With equal capacity the model's weekly list detected 36% of 159 expansions.",
        "flags": pl.DataFrame({"account_id": ["acme"]}),
        "expanded": pl.DataFrame({"account_id": ["acme"]}),
    }
    return BacktestResult(strategies=strategies, **values | changes)
