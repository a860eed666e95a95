"""Tier rules: the customer-success rules of thumb over the values of an account.

The tier 1 rules take numbers, for one account between two lists, or expressions, for a panel. An
expression is null where one of its columns is null.
"""

import math
from typing import Any, Final

import polars as pl

from data.config.settings import Playbook

__all__ = [
    "NEW_DEPARTMENT",
    "TIER2",
    "account_tier",
    "is_tier1_by_seats",
    "is_tier1_by_volume",
    "tier1_seats",
    "tier1_volume",
]

_ADOPTION_ACCELERATES: Final = (pl.col("adoption_acceleration_60d") > 0) & (
    pl.col("features_new_60d") > 1
)
NEW_DEPARTMENT: Final = (pl.col("departments_90d") >= 2) & (pl.col("departments_new_90d") > 0)
# Tier 2: adoption speeds up, a second department joins, or integrations grow.
TIER2: Final = _ADOPTION_ACCELERATES | NEW_DEPARTMENT | (pl.col("integrations_growth_90d") > 0)


def is_tier1_by_seats(seat_utilization: Any, new_users_30d: Any, rules: Playbook) -> Any:  # noqa: ANN401 - numbers or expressions
    """Tier 1 by seats: nearly all seats in use and a new user in the last 30 days."""
    return (seat_utilization > rules.seat_utilization) & (new_users_30d > 0)


def is_tier1_by_volume(usage_ratio: Any, api_growth_30d: Any, rules: Playbook) -> Any:  # noqa: ANN401 - numbers or expressions
    """Tier 1 by volume: strong growth of API calls, and use close to the limit.

    Growth far from the limit is no signal.
    """
    return (api_growth_30d > rules.api_growth) & (usage_ratio >= rules.usage_utilization)


def tier1_seats(rules: Playbook) -> pl.Expr:
    """Return tier 1 by seats over the snapshot columns."""
    met: pl.Expr = is_tier1_by_seats(pl.col("seat_utilization"), pl.col("new_users_30d"), rules)
    return met


def tier1_volume(rules: Playbook) -> pl.Expr:
    """Return tier 1 by volume over the snapshot columns; false without a usage limit."""
    usage_ratio = pl.col("usage_ratio").fill_null(-math.inf)
    met: pl.Expr = is_tier1_by_volume(usage_ratio, pl.col("api_growth_30d"), rules)
    return met


def account_tier(rules: Playbook) -> pl.Expr:
    """Return the tier: 1, 2 or null."""
    tier1_rules = (
        rule.fill_null(value=False) for rule in (tier1_seats(rules), tier1_volume(rules))
    )
    return (
        pl.when(pl.any_horizontal(*tier1_rules))
        .then(1)
        .when(TIER2.fill_null(value=False))
        .then(2)
        .cast(pl.Int32)
    )
