"""The simple rankings a model must beat: single columns and rules, each as a score.

Each is an expression over the columns of snapshots; higher comes first, null is unknown. One that
compares accounts does so among those of the same as-of.
"""

import hashlib
from typing import Final

import polars as pl

from data.config.settings import Playbook
from training.rules import tiers

__all__ = ["BASELINES", "DAYS_TO_LIMIT", "RANDOM", "health_score", "score_baselines"]

_MISSING_SCORE: Final = 10_000.0
# As the trade has them, whatever the settings say: a ranking is kept by its name.
_DEFAULT_PLAYBOOK: Final = Playbook()
RANDOM: Final = "random"

# In a straight line, at the pace of the last three months.
DAYS_TO_LIMIT = pl.min_horizontal("seat_days_to_ceiling", "usage_days_to_limit")


def health_score() -> pl.Expr:
    """Score the health of an account as the trade's scorecards do [1]_.

    The mean of five percentile ranks among the accounts of the as-of, of equal weight: use
    (``active_users_30d``), adoption (``features_30d``), recency (``events_growth_30d``), support
    (tickets of 90 days per active user, fewest first) and sentiment (``nps_180d``). What is not
    known of an account is left out of its mean.

    References
    ----------
    .. [1] N. Mehta, D. Steinman and L. Murphy, "Customer Success", Wiley 2016.
    """
    tickets = pl.col("tickets_90d") / pl.max_horizontal("active_users_30d", 1)
    parts = [
        pl.col("active_users_30d"),
        pl.col("features_30d"),
        pl.col("events_growth_30d"),
        -tickets,
        pl.col("nps_180d"),
    ]
    # Means that differ in their last bit, by the order in which they were added up, are level.
    return pl.mean_horizontal(percentile_rank(part) for part in parts).round(12)


def percentile_rank(score: pl.Expr) -> pl.Expr:
    """Give the place among the accounts of an as-of, in (0, 1); equals share theirs."""
    return ((score.rank("average") - 0.5) / score.count()).over("as_of")


def _pseudo_random_score() -> pl.Expr:
    """A number in [0, 1) that the account and the as-of alone decide, the same on any machine."""
    key = pl.concat_str("account_id", pl.col("as_of").cast(pl.String), separator=" ")
    return key.map_batches(_hash_to_unit_interval, return_dtype=pl.Float64)


def _hash_to_unit_interval(keys: pl.Series) -> pl.Series:
    digests = (hashlib.blake2b(key.encode(), digest_size=6).digest() for key in keys)
    return pl.Series([int.from_bytes(digest) / 2**48 for digest in digests], dtype=pl.Float64)


BASELINES: dict[str, pl.Expr] = {
    "seat utilisation": pl.col("seat_utilization"),
    "most active users": pl.col("active_users_30d"),
    "rule: utilisation at least 80 %": (pl.col("seat_utilization") >= 0.8).cast(pl.Float64),
    "most events": pl.col("events_30d"),
    "days to limit": -DAYS_TO_LIMIT,
    "rule: 80 % held for 3 days": (pl.col("seat_days_above_80_percent") >= 3).cast(pl.Float64),
    "rule: tier 1": (
        tiers.tier1_seats(_DEFAULT_PLAYBOOK) | tiers.tier1_volume(_DEFAULT_PLAYBOOK)
    ).cast(pl.Float64),
    "health score": health_score(),
    # No column dates the last use: how much of the last 60 days' use fell into the last 30.
    "recency of use": pl.col("events_growth_30d"),
    RANDOM: _pseudo_random_score(),
}


def score_baselines(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Score every snapshot by every simple ranking; higher comes first, unknown comes last."""
    return snapshots.select(
        "account_id",
        "as_of",
        *(score.fill_null(-_MISSING_SCORE).alias(name) for name, score in BASELINES.items()),
    )
