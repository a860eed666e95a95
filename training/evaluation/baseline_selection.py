"""Baseline selection at each cutoff using only data known then.

The best baseline in hindsight could not have been chosen in advance, so it is no fair comparison.
"""

from typing import Final

import numpy as np
import polars as pl

from features.catalogue import FEATURE_NAMES
from training.evaluation import baselines
from training.evaluation.splits import TrainingSet
from training.metrics import ranking
from training.metrics.cluster_bootstrap import ClusterBootstrap, factorize_columns

__all__ = ["BEST_FEATURE", "score_by_feature", "select_baseline", "select_best_feature"]

BEST_FEATURE: Final = "best feature so far"


def select_baseline(training_set: TrainingSet, label_expr: pl.Expr, *, capacity: int) -> str:
    """Select the baseline with the highest precision at capacity on a training set.

    Parameters
    ----------
    training_set : TrainingSet
        Snapshots before a cutoff and the outcomes known at it.
    label_expr : polars.Expr
        Over the outcomes; null while unknown.
    capacity : int
        Accounts a team can contact per as-of.

    Returns
    -------
    str
        A key of :data:`training.evaluation.baselines.BASELINES`, except the random one; the first
        of equals.
    """
    rows = baselines.score_baselines(training_set.snapshots).with_columns(
        label=training_set.outcomes.select(label_expr.alias("label"))["label"]
    )
    rows = rows.drop_nulls("label")
    label, (as_of,) = rows["label"].to_numpy(), factorize_columns(rows["as_of"])
    single_sample = ClusterBootstrap(as_of, resamples=0, seed=0)

    def compute_precision(name: str) -> float:
        score = rows[name].to_numpy()
        metric = ranking.mean_precision_at_capacity(score, label, as_of, capacity)
        return float(single_sample.evaluate(metric)[0])

    return max(
        (name for name in baselines.BASELINES if name != baselines.RANDOM), key=compute_precision
    )


def select_best_feature(training_set: TrainingSet, label_expr: pl.Expr) -> tuple[str, int]:
    """Select the feature and direction with the highest average precision on a training set.

    The score is :func:`score_by_feature`, so that a column which only separates as-ofs does not
    win.

    Parameters
    ----------
    training_set, label_expr
        As for :func:`select_baseline`.

    Returns
    -------
    feature : str
        Any feature of the catalogue, including the controls; the first of equals, high values
        first.
    direction : int
        1 if high values rank first, −1 if low values do; missing values rank last in both.
    """
    label = training_set.outcomes.select(label_expr.alias("label"))["label"]
    rows = training_set.snapshots.filter(label.is_not_null())
    expanded = label.drop_nulls().to_numpy()
    single_sample = ClusterBootstrap(np.zeros(rows.height, dtype=np.int64), resamples=0, seed=0)
    best_value, best_feature = -1.0, (FEATURE_NAMES[0], 1)
    for direction in (1, -1):
        scores = rows.select(
            score_by_feature(name, direction).alias(name) for name in FEATURE_NAMES
        )
        for name in FEATURE_NAMES:
            metric = ranking.average_precision(scores[name].to_numpy(), expanded)
            if (value := float(single_sample.evaluate(metric)[0])) > best_value:
                best_value, best_feature = value, (name, direction)
    return best_feature


def score_by_feature(feature: str, direction: int) -> pl.Expr:
    """Score by a feature's percentile rank within the as-of, in (0, 1); missing is 0.

    Ranks are comparable between cutoffs that selected different features; values are not.
    """
    return baselines.percentile_rank(direction * pl.col(feature)).fill_null(0.0)
