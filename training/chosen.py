"""The simple rankings that a cut would have chosen, from what it knew: the fair rivals of a model.

The best in hindsight is a rival that nobody could have picked.
"""

from typing import Final

import numpy as np
import polars as pl

from features.catalogue import NAMES
from training import baselines
from training import ranking_metrics as ranking
from training.resampling import Draws, codes
from training.splits import Known

__all__ = ["BEST_COLUMN", "best_column", "best_ranking", "by_column"]

BEST_COLUMN: Final = "best column so far"


def best_ranking(known: Known, happened: pl.Expr, *, capacity: int) -> str:
    """Name the simple ranking of the highest precision at capacity on what a cut knew.

    Parameters
    ----------
    known : training.splits.Known
        Snapshots from before a cut, and what the cut knew of them.
    happened : polars.Expr
        Over the outcomes; null while that is unknown.
    capacity : int
        Accounts a team can work per as-of.

    Returns
    -------
    str
        One of :data:`training.baselines.RANKINGS`, the random one left out; of equals the first.
    """
    rows = baselines.scores(known.snapshots).with_columns(
        happened=known.outcomes.select(happened.alias("happened"))["happened"]
    )
    rows = rows.drop_nulls("happened")
    label, (as_of,) = rows["happened"].to_numpy(), codes(rows["as_of"])
    once = Draws(as_of, resamples=0, seed=0)

    def precision(name: str) -> float:
        score = rows[name].to_numpy()
        metric = ranking.mean_precision_at_capacity(score, label, as_of, capacity)
        return float(once.of(metric)[0])

    return max((name for name in baselines.RANKINGS if name != baselines.RANDOM), key=precision)


def best_column(known: Known, happened: pl.Expr) -> tuple[str, int]:
    """Name the column of the catalogue, and its direction, of the best average precision so far.

    Judged is the score of :func:`by_column`: what only tells one as-of from another ranks nobody.

    Parameters
    ----------
    known, happened
        As for :func:`best_ranking`.

    Returns
    -------
    column : str
        Any of the catalogue, the controls too; of equals the first, with high values first.
    direction : int
        1 where high values come first, −1 where low ones do; unknown comes last in both.
    """
    label = known.outcomes.select(happened.alias("happened"))["happened"]
    rows = known.snapshots.filter(label.is_not_null())
    expanded = label.drop_nulls().to_numpy()
    once = Draws(np.zeros(rows.height, dtype=np.int64), resamples=0, seed=0)
    best, chosen = -1.0, (NAMES[0], 1)
    for direction in (1, -1):
        scores = rows.select(by_column(name, direction).alias(name) for name in NAMES)
        for name in NAMES:
            metric = ranking.average_precision(scores[name].to_numpy(), expanded)
            if (found := float(once.of(metric)[0])) > best:
                best, chosen = found, (name, direction)
    return chosen


def by_column(column: str, direction: int) -> pl.Expr:
    """Score by a column: its place among the accounts of the as-of, in (0, 1); unknown is 0.

    A place, not the value, since other cuts may have chosen other columns.
    """
    return baselines.percentile(direction * pl.col(column)).fill_null(0.0)
