"""Peer percentiles: rank among accounts of the same plan and size at the same as-of.

The percentile is read off eleven quantiles, in batch and online: the quantiles of the last weekly
run are reused to rank an account by today's values. The plan ceiling is the most that accounts of
the same plan reach, of any size, because no table states where a plan ends.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

__all__ = [
    "SIZE_COLUMN",
    "compute_peer_quantiles",
    "join_quantiles",
    "percentile_rank",
    "plan_ceiling",
    "size_band",
]

MIN_PEERS: Final = 20  # fewest accounts with a value for meaningful quantiles
SIZE_COLUMN: Final = "peer_size"
_DECILES: Final = tuple(range(11))
_GROUP_KEYS: Final = ["as_of", "plan", SIZE_COLUMN]
_CEILING_QUANTILE: Final = 0.98  # a few accounts may keep features of an earlier plan


def size_band(users: pl.Expr) -> pl.Expr:
    """Return the size band, each four times as wide as the last: under 3, under 15, under 63, …"""
    return ((users.fill_null(0) + 1).log(4) + 1e-9).floor().cast(pl.Int32).alias(SIZE_COLUMN)


def compute_peer_quantiles(
    snapshots: pl.DataFrame, features: Sequence[str], ceilings: Sequence[str] = ()
) -> pl.DataFrame:
    """Compute the quantiles of features among peers at each as-of, and plan ceilings of others.

    ``snapshots`` have ``as_of``, ``plan``, ``peer_size`` and the features.

    Returns
    -------
    polars.DataFrame
        One row per as-of, plan and size, in that order; ``{feature}_q0`` to ``{feature}_q10``, each
        a value that occurs. Too few peers of a plan and size fall back to all of the size, and
        these to all accounts; too few at all are null. Then ``{feature}_ceiling``, null where the
        plan is unknown or too few accounts are on it.
    """
    by_plan_and_size, by_size, overall = (
        _group_quantiles(snapshots, features, key)
        for key in (_GROUP_KEYS, ["as_of", SIZE_COLUMN], ["as_of"])
    )
    wide = by_plan_and_size.join(by_size, on=["as_of", SIZE_COLUMN], suffix="_sized").join(
        overall, on="as_of", suffix="_everyone"
    )
    names = [_quantile_column(feature, level) for feature in features for level in _DECILES]
    quantiles = wide.select(
        *_GROUP_KEYS, *(pl.coalesce(name, f"{name}_sized", f"{name}_everyone") for name in names)
    )
    return quantiles.join(_plan_ceilings(snapshots, ceilings), on=_GROUP_KEYS[:2], how="left").sort(
        _GROUP_KEYS
    )


def join_quantiles(snapshots: pl.DataFrame, quantiles: pl.DataFrame) -> pl.DataFrame:
    """Join the peer quantiles, of the same as-of or relabelled to it, to each snapshot."""
    return snapshots.join(quantiles, on=_GROUP_KEYS, how="left", nulls_equal=True)


def percentile_rank(feature: str) -> pl.Expr:
    """Return the share of quantiles below a value, equal ones by half; 0 to 1."""
    value = pl.col(feature)
    deciles = [pl.col(_quantile_column(feature, level)) for level in _DECILES]
    below = pl.sum_horizontal((decile < value).cast(pl.Float64) for decile in deciles)
    equal = pl.sum_horizontal((decile == value).cast(pl.Float64) for decile in deciles)
    is_known = value.is_not_null() & deciles[0].is_not_null()
    return pl.when(is_known).then((below + equal / 2) * (1 / len(_DECILES)))


def plan_ceiling(feature: str) -> pl.Expr:
    """Return the most that accounts of the same plan reach, outliers excluded; null if zero."""
    maximum = pl.col(f"{feature}_ceiling")
    return pl.when(maximum > 0).then(maximum)


def _quantile_column(feature: str, level: int) -> str:
    return f"{feature}_q{level}"


def _group_quantiles(
    snapshots: pl.DataFrame, features: Sequence[str], key: Sequence[str]
) -> pl.DataFrame:
    return snapshots.group_by(key).agg(
        pl.when(pl.col(feature).count() >= MIN_PEERS)
        .then(pl.col(feature).quantile(level / 10, "nearest"))
        .alias(_quantile_column(feature, level))
        for feature in features
        for level in _DECILES
    )


def _plan_ceilings(snapshots: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
    return (
        snapshots.filter(pl.col("plan").is_not_null())
        .group_by("as_of", "plan")
        .agg(
            pl.when(pl.col(feature).count() >= MIN_PEERS)
            .then(pl.col(feature).quantile(_CEILING_QUANTILE, "nearest"))
            .alias(f"{feature}_ceiling")
            for feature in features
        )
    )
