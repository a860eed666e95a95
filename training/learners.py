"""What a data scientist would try first: two plain learners at their defaults, beside the model.

Each learns the outcome within the one horizon from the rows and the columns that the model had at
the same cut, and gives a probability that nobody has calibrated.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from training.splits import Known

__all__ = ["LEARNERS", "Learner", "said"]

Array = NDArray[np.float64]
Learner: TypeAlias = Callable[[Array, Array, Array], Array]

_SEED: Final = 0
_QUANTILES: Final = 1_000  # scikit-learn's own


def logistic_regression(matrix: Array, happened: Array, asked: Array) -> Array:
    """Learn by scikit-learn's logistic regression, on columns mapped to normal quantiles.

    Its defaults hold, but for the solver, which finds the same optimum sooner. A missing value is
    the column's mean, which is its middle.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n_columns)
        NaN where missing.
    happened : numpy.ndarray, shape (n,)
        1 or 0.
    asked : numpy.ndarray, shape (n_asked, n_columns)
        Whose probability is asked for.

    Returns
    -------
    numpy.ndarray, shape (n_asked,)
    """
    low, high = (bound(matrix, axis=0) for bound in (np.fmin.reduce, np.fmax.reduce))
    telling = low < high  # a column of one value, or of none, tells nothing
    learner = make_pipeline(
        QuantileTransformer(
            n_quantiles=min(_QUANTILES, len(matrix)),
            output_distribution="normal",
            random_state=_SEED,
        ),
        SimpleImputer(),
        LogisticRegression(solver="newton-cholesky"),
    )
    learner.fit(matrix[:, telling], happened)
    return np.asarray(learner.predict_proba(asked[:, telling])[:, 1])


def lightgbm(matrix: Array, happened: Array, asked: Array) -> Array:
    """Learn by LightGBM at its defaults; parameters and result as for the regression."""
    fixed = {"deterministic": True, "force_col_wise": True, "num_threads": 1, "verbosity": -1}
    learner = lgb.train(
        {"objective": "binary", "seed": _SEED, **fixed}, lgb.Dataset(matrix, happened)
    )
    return np.asarray(learner.predict(asked))


LEARNERS: Final[Mapping[str, Learner]] = {
    "logistic regression": logistic_regression,
    "LightGBM defaults": lightgbm,
}


def said(
    learners: Mapping[str, Learner],
    known: Known,
    happened: pl.Expr,
    judged: pl.DataFrame,
    inputs: tuple[str, ...],
) -> dict[str, pl.Series]:
    """Let each learner learn what a cut knew, and give its probability of what the cut judges.

    Parameters
    ----------
    learners : mapping of str to callable
        By name.
    known : training.splits.Known
        Snapshots from before the cut, and what it knew of them.
    happened : polars.Expr
        Over the outcomes; rows of which it is null are not learned from.
    judged : polars.DataFrame
        The snapshots asked about.
    inputs : tuple of str
        Columns that may be read.

    Returns
    -------
    dict of str to polars.Series
        A value per judged snapshot.
    """
    label = known.outcomes.select(happened.cast(pl.Float64).alias("happened"))["happened"]
    rows = known.snapshots.filter(label.is_not_null()).select(inputs).to_numpy()
    asked, told = judged.select(inputs).to_numpy(), label.drop_nulls().to_numpy()
    return {name: pl.Series(learn(rows, told, asked)) for name, learn in learners.items()}
