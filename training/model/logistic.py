"""Ridge logistic regression on quantile-normalised columns, for small histories.

Each column is mapped to the normal scores of its quantiles, which removes units and heavy tails.
The ridge penalty is a Gaussian prior: 1 / variance of a coefficient. A missing value scores the
mean and has a coefficient of its own. The more accounts have expanded, the lower the regression's
default weight in the blend.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

__all__ = [
    "BaggedLogistic",
    "QuantileNormalizer",
    "compute_default_blend_weight",
    "fit_bagged_logistic",
    "fit_normalizer",
]

_QUANTILE_LEVELS = np.linspace(0, 1, 51)
_MAX_SCORE = 2.5  # standard deviations; values beyond the outermost quantiles are clipped
_MIN_DEVIATION = 1e-9  # smaller deviations are rounding errors
_CHUNK_ROWS = 10_000  # rows scored at once, because scores take several times the memory of a row

Array = NDArray[np.float64]


@dataclass(frozen=True)
class QuantileNormalizer:
    """Map columns to normal scores by their quantiles.

    Attributes
    ----------
    quantiles : numpy.ndarray, shape (n_columns, 51)
        Quantiles of the non-missing values; zeros in a column without any.
    mean, deviation : numpy.ndarray, shape (n_columns,)
        Of the scores, because ties and tails keep them from being standard normal. A constant
        column scores 0.
    missing : numpy.ndarray, shape (n_columns,)
        Share of missing values.
    """

    quantiles: Array
    mean: Array
    deviation: Array
    missing: Array

    def __call__(self, matrix: Array) -> Array:
        """Return standardised scores, then a centred missing indicator per column.

        The result has shape (n, 2 · n_columns) and zero mean on the fitting data. A missing value
        scores 0. The indicator is less the share of missing values.
        """
        unit = np.where(self.deviation > _MIN_DEVIATION, self.deviation, np.inf)
        scores = (_compute_normal_scores(matrix, self.quantiles) - self.mean) / unit
        return np.hstack([np.nan_to_num(scores), np.isnan(matrix) - self.missing])


def fit_normalizer(matrix: Array) -> QuantileNormalizer:
    """Fit the quantiles of each column; NaN is missing."""
    missing = np.isnan(matrix).mean(axis=0)
    quantiles = np.zeros((matrix.shape[1], len(_QUANTILE_LEVELS)))
    for column in np.flatnonzero(missing < 1):
        quantiles[column] = np.nanquantile(matrix[:, column], _QUANTILE_LEVELS)
    scores = np.ma.masked_invalid(_compute_normal_scores(matrix, quantiles))
    mean, deviation = scores.mean(axis=0).filled(0.0), scores.std(axis=0).filled(0.0)
    return QuantileNormalizer(quantiles, mean, deviation, missing)


def compute_default_blend_weight(accounts: pl.Series, label: Array, prior_accounts: float) -> float:
    """Compute the regression's prior weight in the blend, in [0, 1].

    It is ``prior_accounts`` ÷ (``prior_accounts`` + positive accounts), so both learners weigh the
    same at ``prior_accounts``. The label is NaN while unknown.

    Examples
    --------
    >>> accounts = pl.Series(["a", "a", "b", "c"])
    >>> label = np.array([1.0, 1.0, 1.0, np.nan])
    >>> compute_default_blend_weight(accounts, label, prior_accounts=6)
    0.75
    """
    expanded_accounts = accounts.filter(pl.Series(label == 1)).n_unique()
    return prior_accounts / (prior_accounts + expanded_accounts) if prior_accounts else 0.0


def _compute_normal_scores(matrix: Array, quantiles: Array) -> Array:
    """Compute normal scores; a value shared by several quantiles gets their midpoint."""
    normal = np.clip(norm.ppf(_QUANTILE_LEVELS), -_MAX_SCORE, _MAX_SCORE)
    scores = np.empty(matrix.shape)
    for column, edges in enumerate(quantiles):
        values = matrix[:, column]
        upper = np.interp(values, edges, normal)
        lower = -np.interp(-values, -edges[::-1], -normal[::-1])
        scores[:, column] = (lower + upper) / 2
    return scores


@dataclass(frozen=True)
class BaggedLogistic:
    """Logistic regressions on account bootstraps with one shared normaliser.

    Attributes
    ----------
    normalizer : QuantileNormalizer
        Maps columns to scores.
    coefficients : numpy.ndarray, shape (n_members, 2 · n_columns)
        Of the scores, then of the missing indicators.
    intercepts : numpy.ndarray, shape (n_members,)
        Margins where every column is at its mean.
    """

    normalizer: QuantileNormalizer
    coefficients: Array
    intercepts: Array

    def predict_margins(self, matrix: Array) -> Array:
        """Predict the log-odds of each member, shape (n_members, n)."""
        pieces = [
            self.coefficients @ self.normalizer(matrix[start : start + _CHUNK_ROWS]).T
            for start in range(0, max(len(matrix), 1), _CHUNK_ROWS)
        ]
        return np.asarray(np.hstack(pieces) + self.intercepts[:, None])

    @property
    def mean_intercept(self) -> float:
        """Mean margin of the members where every column is at its mean."""
        return float(self.intercepts.mean())

    def compute_contributions(self, matrix: Array) -> Array:
        """Compute each column's contribution to the members' mean margin, (n, n_columns)."""
        parts = self.normalizer(matrix) * self.coefficients.mean(axis=0)
        columns = parts.shape[1] // 2
        return np.asarray(parts[:, :columns] + parts[:, columns:])


def fit_bagged_logistic(
    matrix: Array,
    label: Array,
    bootstrap_weights: Sequence[Array],
    *,
    ridge_penalty: float,
    constraints: Sequence[int],
) -> BaggedLogistic:
    """Fit a regression on each bootstrap; the same data gives the same coefficients.

    Parameters
    ----------
    matrix, label, bootstrap_weights, constraints
        As for :func:`training.model.gbm.fit_boosters`. A column whose coefficient violates its
        constraint is dropped.
    ridge_penalty : float
        1 / prior variance of a coefficient.
    """
    labelled = ~np.isnan(label)
    normalizer = fit_normalizer(matrix[labelled])
    scores, outcome = normalizer(matrix[labelled]), label[labelled]
    score_constraints = np.array([*constraints, *np.zeros(len(constraints))])
    coefficients, intercepts = [], []
    # Several threads would sum in another order and change the last bits.
    with threadpool_limits(1):
        for member_weights in bootstrap_weights:
            weight = member_weights[labelled]
            rows = weight > 0
            estimate = _fit_constrained_logistic(
                scores[rows], outcome[rows], weight[rows], ridge_penalty, score_constraints
            )
            coefficients.append(estimate[0])
            intercepts.append(estimate[1])
    return BaggedLogistic(normalizer, np.stack(coefficients), np.array(intercepts))


def _fit_constrained_logistic(
    scores: Array, label: Array, weight: Array, ridge_penalty: float, constraints: Array
) -> tuple[Array, float]:
    """Fit coefficients and intercept; columns that violate their constraint are dropped."""
    used = np.ones(len(constraints), dtype=bool)
    while True:
        learner = LogisticRegression(C=1 / ridge_penalty, solver="newton-cholesky", max_iter=200)
        learner.fit(scores[:, used], label, sample_weight=weight)
        weights = np.zeros(len(constraints))
        weights[used] = learner.coef_[0]
        violated = weights * constraints < 0
        if not violated.any():
            return weights, float(learner.intercept_[0])
        used &= ~violated
