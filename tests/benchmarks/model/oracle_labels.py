"""Oracle labels: a model of the same columns that learns true probabilities instead of outcomes.

An outcome is one random draw whose probability the simulator knows. A learner that is given the
probability of every training snapshot shows what the columns contain; the remaining gap to the
true probability is not in them, or not at this number of accounts.
"""

from pathlib import Path
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.model import oracle_probability, panels, walk_forward
from training.model.propensity import INPUTS

__all__ = ["evaluate_oracle_labels"]

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


def evaluate_oracle_labels(name: str, folder: Path, *, smoke: bool) -> dict[str, Any]:
    """Score the evaluated snapshots with a LightGBM trained on earlier true probabilities."""
    history = panels.load_history(name, folder, smoke=smoke)
    true = panels.load_ground_truth(name, folder, "truth")
    rows = history.snapshots.join(true.select(*_KEYS, "p_60"), on=_KEYS, how="inner")
    evaluated = (
        walk_forward.load_predictions(name, folder)
        .drop_nulls("expanded")
        .select(*_KEYS, "cutoff", "expanded")
    )
    parts = [
        _predict_out_of_fold(rows, part)
        for part in evaluated.partition_by("cutoff", maintain_order=True)
    ]
    return oracle_probability.estimate_oracle_shares(parts)


def _predict_out_of_fold(rows: pl.DataFrame, test_set: pl.DataFrame) -> pl.DataFrame:
    """Predict one cutoff's test rows, each by a learner that was not trained on its account.

    Trained on an account's probability of last month, a learner would recognize and repeat it.
    """
    training_rows = rows.filter(pl.col("as_of") < test_set["cutoff"][0])
    test_rows = test_set.join(rows, on=_KEYS, how="inner", maintain_order="left")
    training_folds, test_folds = _assign_folds(training_rows), _assign_folds(test_rows)
    predictions = np.empty(test_rows.height)
    for fold in range(_FOLDS):
        fold_training_rows, is_in_fold = (
            training_rows.filter(training_folds != fold),
            test_folds == fold,
        )
        labels = lgb.Dataset(_to_matrix(fold_training_rows), fold_training_rows["p_60"].to_numpy())
        booster = lgb.train(_SETTINGS, labels, num_boost_round=_ROUNDS)
        predictions[is_in_fold.to_numpy()] = booster.predict(
            _to_matrix(test_rows.filter(is_in_fold))
        )
    return test_rows.select(*_KEYS, "cutoff", "expanded", "p_60", score=pl.Series(predictions))


def _assign_folds(rows: pl.DataFrame) -> pl.Series:
    """Assign accounts to folds."""
    return rows["account_id"].hash(seed=_SETTINGS["seed"]) % _FOLDS


def _to_matrix(rows: pl.DataFrame) -> NDArray[np.float64]:
    return rows.select(pl.col(INPUTS).cast(pl.Float64)).to_numpy()
