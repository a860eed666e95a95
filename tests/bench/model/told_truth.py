"""The same columns told the truth: how well any model of them might rank, outcomes' noise aside.

An outcome is one throw of a die whose odds the simulator knows. A learner that is told the odds of
every training snapshot, in place of the throw, shows what the columns hold; what is missing to the
true probability they do not show, or not at so few accounts.
"""

from pathlib import Path
from typing import Any, Final

import drawn
import known_truth
import lightgbm as lgb
import numpy as np
import panels
import polars as pl
import walks
from numpy.typing import NDArray

from training.model.propensity import INPUTS

__all__ = ["told_truth"]

_ROUNDS: Final = 400
_FOLDS: Final = 5
_SETTINGS: Final[dict[str, Any]] = {
    "objective": "cross_entropy",  # takes probabilities as labels
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "seed": 7,
    "deterministic": True,
    "verbose": -1,
}
_KEYS: Final = ["account_id", "as_of"]


def told_truth(name: str, folder: Path, *, smoke: bool) -> dict[str, Any]:
    """Rank what the walk judged by a LightGBM that was told the true probabilities before each cut.

    Parameters
    ----------
    name : str
        A simulated company that was walked.
    folder : pathlib.Path
        The bench's.
    smoke : bool
        Whether only to try.

    Returns
    -------
    dict
        ``auroc_share`` and ``average_precision_share``, of those by the true probability, with
        intervals.
    """
    past = panels.load(name, folder, smoke=smoke)
    true = panels.truth(name, folder, "truth").with_columns(pl.col("as_of").dt.date())
    rows = past.snapshots.join(true.select(*_KEYS, "p_60"), on=_KEYS, how="inner")
    judged = (
        walks.predictions(name, folder).drop_nulls("expanded").select(*_KEYS, "cut", "expanded")
    )
    parts = [_told(rows, part) for part in judged.partition_by("cut", maintain_order=True)]
    known = pl.concat(parts)
    columns = (known[each].to_numpy() for each in ("expanded", "told", "p_60"))
    return drawn.intervals(known_truth.shares(*columns), known)


def _told(rows: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    """What one cut's learners say of the rows it judges, each of accounts that it was not shown.

    Shown an account's odds of last month, a learner would know it by its columns and repeat them.
    """
    before = rows.filter(pl.col("as_of") < judged["cut"][0])
    after = judged.join(rows, on=_KEYS, how="inner", maintain_order="left")
    fold_before, fold_after = _fold(before), _fold(after)
    said = np.empty(after.height)
    for fold in range(_FOLDS):
        shown, asked = before.filter(fold_before != fold), fold_after == fold
        labels = lgb.Dataset(_matrix(shown), shown["p_60"].to_numpy())
        learned = lgb.train(_SETTINGS, labels, num_boost_round=_ROUNDS)
        said[asked.to_numpy()] = learned.predict(_matrix(after.filter(asked)))
    return after.select(*_KEYS, "cut", "expanded", "p_60", told=pl.Series(said))


def _fold(rows: pl.DataFrame) -> pl.Series:
    """Deal accounts into folds."""
    return rows["account_id"].hash(seed=_SETTINGS["seed"]) % _FOLDS


def _matrix(rows: pl.DataFrame) -> NDArray[np.float64]:
    return rows.select(pl.col(INPUTS).cast(pl.Float64)).to_numpy()
