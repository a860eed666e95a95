"""Where an account stands among its peers: accounts of the same plan and size, as of the same day.

The position is read off eleven quantiles, in batch as between batches: the quantiles of the last
weekly run can be kept, and an account placed among them by today's numbers. Beside them stands what
accounts of the same plan reach at most, whatever their size: no table says where a plan ends.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

__all__ = [
    "SIZE_COLUMN",
    "join_quantiles",
    "peer_quantiles",
    "percentile_rank",
    "plan_ceiling",
    "size_band",
]

MIN_PEERS: Final = 20  # accounts with a value, for their quantiles to mean something
SIZE_COLUMN: Final = "peer_size"
_DECILES: Final = tuple(range(11))
_GROUP_KEYS: Final = ["as_of", "plan", SIZE_COLUMN]
_CEILING_QUANTILE: Final = (
    0.98  # a few accounts may keep from an earlier plan what theirs does not hold
)


def size_band(users: pl.Expr) -> pl.Expr:
    """Band of size, each four times as wide as the one before: under 3, under 15, under 63, …"""
    return ((users.fill_null(0) + 1).log(4) + 1e-9).floor().cast(pl.Int32).alias(SIZE_COLUMN)


def peer_quantiles(
    snapshots: pl.DataFrame, features: Sequence[str], ceilings: Sequence[str] = ()
) -> pl.DataFrame:
    """Take the quantiles of features among the peers of each as-of, and their plans' ceilings.

    Parameters
    ----------
    snapshots : polars.DataFrame
        ``as_of``, ``plan``, ``peer_size`` and the features.
    features : sequence of str
        What to take the quantiles of.
    ceilings : sequence of str
        What to tell the most of that accounts of the plan reach.

    Returns
    -------
    polars.DataFrame
        One row per as-of, plan and size, in that order; ``{feature}_q0`` to ``{feature}_q10``, each
        a value that occurs. Too few peers of a plan and size are replaced by all of the size, and
        these by all accounts; too few at all are null. Then ``{feature}_ceiling``, null where the
        plan is not told or too few are on it.
    """
    own, sized, everyone = (
        _group_quantiles(snapshots, features, key)
        for key in (_GROUP_KEYS, ["as_of", SIZE_COLUMN], ["as_of"])
    )
    wide = own.join(sized, on=["as_of", SIZE_COLUMN], suffix="_sized").join(
        everyone, on="as_of", suffix="_everyone"
    )
    names = [_quantile_column(feature, level) for feature in features for level in _DECILES]
    found = wide.select(
        *_GROUP_KEYS, *(pl.coalesce(name, f"{name}_sized", f"{name}_everyone") for name in names)
    )
    return found.join(_plan_ceilings(snapshots, ceilings), on=_GROUP_KEYS[:2], how="left").sort(
        _GROUP_KEYS
    )


def join_quantiles(snapshots: pl.DataFrame, quantiles: pl.DataFrame) -> pl.DataFrame:
    """Put the quantiles of its peers beside each snapshot.

    Parameters
    ----------
    snapshots : polars.DataFrame
        ``as_of``, ``plan`` and ``peer_size`` beside the features.
    quantiles : polars.DataFrame
        From :func:`peer_quantiles`, of the same as-of or of an earlier one stamped with it.
    """
    return snapshots.join(quantiles, on=_GROUP_KEYS, how="left", nulls_equal=True)


def percentile_rank(feature: str) -> pl.Expr:
    """Share of the quantiles that lie below a value, those equal to it by half; 0 to 1."""
    value = pl.col(feature)
    marks = [pl.col(_quantile_column(feature, level)) for level in _DECILES]
    below = pl.sum_horizontal((mark < value).cast(pl.Float64) for mark in marks)
    equal = pl.sum_horizontal((mark == value).cast(pl.Float64) for mark in marks)
    known = value.is_not_null() & marks[0].is_not_null()
    return pl.when(known).then((below + equal / 2) * (1 / len(_DECILES)))


def plan_ceiling(feature: str) -> pl.Expr:
    """The most that accounts of the same plan reach, a few apart; null where that says nothing."""
    most = pl.col(f"{feature}_ceiling")
    return pl.when(most > 0).then(most)


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
