"""Tier rules: the customer-success rules of thumb as expressions over snapshot columns.

An expression is null where one of its columns is null.
"""

from typing import Final

import polars as pl

from data.config.settings import Playbook

__all__ = ["NEW_DEPARTMENT", "TIER2", "account_tier", "tier1_seats", "tier1_volume"]

_ADOPTION_ACCELERATES: Final = (pl.col("adoption_acceleration_60d") > 0) & (
    pl.col("features_new_60d") > 1
)
NEW_DEPARTMENT: Final = (pl.col("departments_90d") >= 2) & (pl.col("departments_new_90d") > 0)
# Tier 2: adoption speeds up, a second department joins, or integrations grow.
TIER2: Final = _ADOPTION_ACCELERATES | NEW_DEPARTMENT | (pl.col("integrations_growth_90d") > 0)


def tier1_seats(rules: Playbook) -> pl.Expr:
    """Tier 1 by seats: nearly all seats in use and a new user in the last 30 days."""
    return (pl.col("seat_utilization") > rules.seat_utilization) & (pl.col("new_users_30d") > 0)


def tier1_volume(rules: Playbook) -> pl.Expr:
    """Tier 1 by volume: strong growth of API calls, and use close to the limit.

    Growth far from the limit is no signal. Without a usage limit the rule is false.
    """
    near_limit = (pl.col("usage_ratio") >= rules.usage_utilization).fill_null(value=False)
    return (pl.col("api_growth_30d") > rules.api_growth) & near_limit


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
