"""The trade's rules of thumb, which name a tier: each as an expression over a snapshot's columns.

Null where a column that it asks for is not known.
"""

from typing import Final

import polars as pl

__all__ = ["LEADING", "SEATS_NOW", "TIER", "VOLUME_NOW"]

_ADOPTING: Final = (pl.col("adoption_acceleration_60d") > 0) & (pl.col("features_new_60d") > 1)
_SPREADING: Final = (pl.col("departments_90d") >= 2) & (pl.col("departments_new_90d") > 0)

# Tier 1: more than 88 % of the seats in use, and somebody new in the last 30 days;
SEATS_NOW: Final = (pl.col("seat_utilization") > 0.88) & (pl.col("new_users_30d") > 0)
# or API volume up by more than a fifth on the month before, on a limited plan.
VOLUME_NOW: Final = (pl.col("api_growth_30d") > 0.2) & pl.col("usage_ratio").is_not_null()
# Tier 2: adoption speeds up, a second department joins, or integrations grow.
LEADING: Final = _ADOPTING | _SPREADING | (pl.col("integrations_growth_90d") > 0)

TIER: Final = (
    pl.when(SEATS_NOW.fill_null(value=False) | VOLUME_NOW.fill_null(value=False))
    .then(1)
    .when(LEADING.fill_null(value=False))
    .then(2)
    .cast(pl.Int32)
)
