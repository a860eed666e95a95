"""Reference models: two standard learners at their defaults.

Each is trained at the primary horizon on the same rows and columns as the model at the cutoff, and
predicts an uncalibrated probability.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from training.dataset.training_set import TrainingSet, select_labelled

__all__ = ["REFERENCE_MODELS", "ReferenceModel", "predict_reference_models"]

Array = NDArray[np.float64]
ReferenceModel: TypeAlias = Callable[[Array, Array, Array], Array]

_SEED: Final = 0
_QUANTILES: Final = 1_000  # scikit-learn's default


def predict_logistic_regression(matrix: Array, label: Array, test_matrix: Array) -> Array:
    """Fit and predict scikit-learn's logistic regression on columns mapped to normal quantiles.

    All parameters are defaults except the solver, which reaches the same optimum faster. Missing
    values, NaN, are imputed by the column mean, which is the median after the mapping.
    """
    low, high = (bound(matrix, axis=0) for bound in (np.fmin.reduce, np.fmax.reduce))
    informative = low < high  # constant and empty columns are dropped
    model = make_pipeline(
        QuantileTransformer(
            n_quantiles=min(_QUANTILES, len(matrix)),
            output_distribution="normal",
            random_state=_SEED,
        ),
        SimpleImputer(),
        LogisticRegression(solver="newton-cholesky"),
    )
    model.fit(matrix[:, informative], label)
    return np.asarray(model.predict_proba(test_matrix[:, informative])[:, 1])


def predict_lightgbm(matrix: Array, label: Array, test_matrix: Array) -> Array:
    """Fit and predict LightGBM at its defaults."""
    fixed_parameters = {
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    booster = lgb.train(
        {"objective": "binary", "seed": _SEED, **fixed_parameters}, lgb.Dataset(matrix, label)
    )
    return np.asarray(booster.predict(test_matrix))


REFERENCE_MODELS: Final[Mapping[str, ReferenceModel]] = {
    "logistic regression": predict_logistic_regression,
    "LightGBM defaults": predict_lightgbm,
}


def predict_reference_models(
    reference_models: Mapping[str, ReferenceModel],
    training_set: TrainingSet,
    label_expr: pl.Expr,
    test_snapshots: pl.DataFrame,
    inputs: Sequence[str],
) -> dict[str, pl.Series]:
    """Return each reference model's probabilities of the test snapshots.

    Rows of the training set whose label is null are not used.
    """
    train_rows, expanded = select_labelled(training_set, label_expr)
    train_matrix, train_label = train_rows.select(inputs).to_numpy(), expanded.astype(np.float64)
    test_matrix = test_snapshots.select(inputs).to_numpy()
    return {
        name: pl.Series(learn(train_matrix, train_label, test_matrix))
        for name, learn in reference_models.items()
    }
