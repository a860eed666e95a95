"""Baseline rankings that a model must beat: single columns and rules of thumb.

Each is an expression over the snapshot columns; higher ranks first, null is missing. Comparisons
between accounts stay within one as-of.
"""

import hashlib
from typing import Final

import polars as pl

from data.config.settings import Playbook
from training.rules import tiers

__all__ = ["BASELINES", "DAYS_TO_LIMIT", "RANDOM", "health_score", "score_baselines"]

_MISSING_SCORE: Final = 10_000.0
# Defaults regardless of the settings, so that a baseline's name has one meaning.
_DEFAULT_PLAYBOOK: Final = Playbook()
RANDOM: Final = "random"

# Linear extrapolation of the last three months.
DAYS_TO_LIMIT = pl.min_horizontal("seat_days_to_ceiling", "usage_days_to_limit")


def health_score() -> pl.Expr:
    """Compute a customer health score as common scorecards do [1]_.

    The equally weighted mean of five percentile ranks among the accounts of the as-of: use
    (``active_users_30d``), adoption (``features_30d``), recency (``events_growth_30d``), support
    (tickets of 90 days per active user, fewest first) and sentiment (``nps_180d``). Missing parts
    are left out of the mean.

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
    # Rounded, so that means differing only by summation order are ties.
    return pl.mean_horizontal(percentile_rank(part) for part in parts).round(12)


def percentile_rank(score: pl.Expr) -> pl.Expr:
    """Compute the percentile rank within the as-of, in (0, 1); ties share their rank."""
    return ((score.rank("average") - 0.5) / score.count()).over("as_of")


def _pseudo_random_score() -> pl.Expr:
    """Compute a reproducible pseudo-random number in [0, 1) from account and as-of."""
    key = pl.concat_str("account_id", pl.col("as_of").cast(pl.String), separator=" ")
    return key.map_batches(_hash_to_unit_interval, return_dtype=pl.Float64)


def _hash_to_unit_interval(keys: pl.Series) -> pl.Series:
    digests = (hashlib.blake2b(key.encode(), digest_size=6).digest() for key in keys)
    return pl.Series([int.from_bytes(digest) / 2**48 for digest in digests], dtype=pl.Float64)


BASELINES: dict[str, pl.Expr] = {
    "seat utilization": pl.col("seat_utilization"),
    "most active users": pl.col("active_users_30d"),
    "rule: utilization at least 80 %": (pl.col("seat_utilization") >= 0.8).cast(pl.Float64),
    "most events": pl.col("events_30d"),
    "days to limit": -DAYS_TO_LIMIT,
    "rule: 80 % held for 3 days": (pl.col("seat_days_above_80_percent") >= 3).cast(pl.Float64),
    "rule: tier 1": (
        tiers.tier1_seats(_DEFAULT_PLAYBOOK) | tiers.tier1_volume(_DEFAULT_PLAYBOOK)
    ).cast(pl.Float64),
    "health score": health_score(),
    # There is no date of last use: share of the last 60 days' use within the last 30.
    "recency of use": pl.col("events_growth_30d"),
    RANDOM: _pseudo_random_score(),
}


def score_baselines(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Score every snapshot by every baseline; higher ranks first, missing ranks last."""
    return snapshots.select(
        "account_id",
        "as_of",
        *(score.fill_null(-_MISSING_SCORE).alias(name) for name, score in BASELINES.items()),
    )
