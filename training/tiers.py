"""The trade's rules of thumb, which name a tier: each as an expression over a snapshot's columns.

Null where a column that it asks for is not known.
"""

from typing import Final

import polars as pl

from data.settings import Playbook

__all__ = ["LEADING", "SPREADING", "seats_now", "tier", "volume_now"]

_ADOPTING: Final = (pl.col("adoption_acceleration_60d") > 0) & (pl.col("features_new_60d") > 1)
SPREADING: Final = (pl.col("departments_90d") >= 2) & (pl.col("departments_new_90d") > 0)
# Tier 2: adoption speeds up, a second department joins, or integrations grow.
LEADING: Final = _ADOPTING | SPREADING | (pl.col("integrations_growth_90d") > 0)


def seats_now(rules: Playbook) -> pl.Expr:
    """Tier 1: nearly all seats in use, and somebody new in the last 30 days."""
    return (pl.col("seat_utilization") > rules.seat_share) & (pl.col("new_users_30d") > 0)


def volume_now(rules: Playbook) -> pl.Expr:
    """Tier 1 as well: API volume well up on the month before, and the limit within reach.

    Far from the limit, growth says little. Without a limit there is none to reach.
    """
    near = (pl.col("usage_ratio") >= rules.usage_share).fill_null(value=False)
    return (pl.col("api_growth_30d") > rules.api_growth) & near


def tier(rules: Playbook) -> pl.Expr:
    """Name the tier: 1, 2 or null."""
    now = (rule.fill_null(value=False) for rule in (seats_now(rules), volume_now(rules)))
    return (
        pl.when(pl.any_horizontal(*now))
        .then(1)
        .when(LEADING.fill_null(value=False))
        .then(2)
        .cast(pl.Int32)
    )
