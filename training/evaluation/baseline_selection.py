"""The simple rankings that a cut would have chosen, from what it knew: the fair rivals of a model.

The best in hindsight is a rival that nobody could have picked.
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

BEST_FEATURE: Final = "best column so far"


def select_baseline(training_set: TrainingSet, label_expr: pl.Expr, *, capacity: int) -> str:
    """Name the simple ranking of the highest precision at capacity on what a cut knew.

    Parameters
    ----------
    training_set : training.evaluation.splits.TrainingSet
        Snapshots from before a cut, and what the cut knew of them.
    label_expr : polars.Expr
        Over the outcomes; null while that is unknown.
    capacity : int
        Accounts a team can work per as-of.

    Returns
    -------
    str
        One of :data:`training.evaluation.baselines.BASELINES`, the random one left out; of equals the first.
    """
    rows = baselines.score_baselines(training_set.snapshots).with_columns(
        happened=training_set.outcomes.select(label_expr.alias("happened"))["happened"]
    )
    rows = rows.drop_nulls("happened")
    label, (as_of,) = rows["happened"].to_numpy(), factorize_columns(rows["as_of"])
    single_sample = ClusterBootstrap(as_of, resamples=0, seed=0)

    def compute_precision(name: str) -> float:
        score = rows[name].to_numpy()
        metric = ranking.mean_precision_at_capacity(score, label, as_of, capacity)
        return float(single_sample.evaluate(metric)[0])

    return max(
        (name for name in baselines.BASELINES if name != baselines.RANDOM), key=compute_precision
    )


def select_best_feature(training_set: TrainingSet, label_expr: pl.Expr) -> tuple[str, int]:
    """Name the column of the catalogue, and its direction, of the best average precision so far.

    Judged is the score of :func:`score_by_feature`: what only tells one as-of from another ranks nobody.

    Parameters
    ----------
    known, happened
        As for :func:`select_baseline`.

    Returns
    -------
    column : str
        Any of the catalogue, the controls too; of equals the first, with high values first.
    direction : int
        1 where high values come first, −1 where low ones do; unknown comes last in both.
    """
    label = training_set.outcomes.select(label_expr.alias("happened"))["happened"]
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
    """Score by a column: its place among the accounts of the as-of, in (0, 1); unknown is 0.

    A place, not the value, since other cuts may have chosen other columns.
    """
    return baselines.percentile_rank(direction * pl.col(feature)).fill_null(0.0)
