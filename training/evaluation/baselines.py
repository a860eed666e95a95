"""Baseline rankings that a model must beat: single columns and rules of thumb.

Each is an expression over the snapshot columns; higher ranks first, null is missing. Comparisons
between accounts stay within one as-of. A baseline is selected at a cutoff from what was known then:
the best one in hindsight could not have been chosen in advance, so it is no fair comparison.
"""

import hashlib
from dataclasses import replace
from typing import Final

import polars as pl

from data.config.settings import Playbook
from features.catalogue import FEATURE_NAMES
from training.dataset.training_set import TrainingSet, select_labelled
from training.metrics import ranking
from training.metrics.cluster_bootstrap import evaluate_sample, factorize_columns
from training.rules import tiers

__all__ = [
    "BASELINES",
    "BEST_FEATURE",
    "DAYS_TO_LIMIT",
    "RANDOM",
    "health_score",
    "percentile_rank",
    "score_baselines",
    "score_by_feature",
    "select_baseline",
    "select_best_feature",
]

_MISSING_SCORE: Final = 10_000.0
# Defaults regardless of the settings, so that a baseline's name has one meaning.
_DEFAULT_PLAYBOOK: Final = Playbook()
RANDOM: Final = "random"
BEST_FEATURE: Final = "best feature so far"

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


def select_baseline(training_set: TrainingSet, label_expr: pl.Expr, *, capacity: int) -> str:
    """Select the baseline with the highest precision at capacity on a training set.

    The label, over the outcomes, is null while unknown. The random baseline is never selected; of
    equals, the first is.
    """
    # Scored before unlabelled snapshots are dropped, because ranks compare all accounts.
    scores = score_baselines(training_set.snapshots)
    rows, expanded = select_labelled(replace(training_set, snapshots=scores), label_expr)
    (as_of,) = factorize_columns(rows["as_of"])

    def compute_precision(name: str) -> float:
        score = rows[name].to_numpy()
        metric = ranking.mean_precision_at_capacity(score, expanded, as_of, capacity)
        return evaluate_sample(metric, len(expanded))

    return max((name for name in BASELINES if name != RANDOM), key=compute_precision)


def select_best_feature(training_set: TrainingSet, label_expr: pl.Expr) -> tuple[str, int]:
    """Select the feature and direction with the highest average precision on a training set.

    The score is :func:`score_by_feature`, so that a column which only separates as-ofs does not
    win.

    Returns
    -------
    feature : str
        Any feature of the catalogue, including the controls; the first of equals, high values
        first.
    direction : int
        1 if high values rank first, −1 if low values do; missing values rank last in both.
    """
    rows, expanded = select_labelled(training_set, label_expr)
    best_value, best_feature = -1.0, (FEATURE_NAMES[0], 1)
    for direction in (1, -1):
        scores = rows.select(
            score_by_feature(name, direction).alias(name) for name in FEATURE_NAMES
        )
        for name in FEATURE_NAMES:
            metric = ranking.average_precision(scores[name].to_numpy(), expanded)
            if (value := evaluate_sample(metric, len(expanded))) > best_value:
                best_value, best_feature = value, (name, direction)
    return best_feature


def score_by_feature(feature: str, direction: int) -> pl.Expr:
    """Score by a feature's percentile rank within the as-of, in (0, 1); missing is 0.

    Ranks are comparable between cutoffs that selected different features; values are not.
    """
    return percentile_rank(direction * pl.col(feature)).fill_null(0.0)
