"""A ridge logistic regression on quantile-normalised columns: what a small history can bear.

Every column is mapped to the normal scores of its quantiles, so that neither units nor tails
matter, and the ridge is a prior: 1 / variance of a weight before the data speaks. A missing value
stands at the mean, and has a weight of its own. The more accounts have told what happened to them,
the less of a blend is the regression's.
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
_MAX_SCORE = 2.5  # standard deviations: beyond the outermost quantiles all values count alike
_MIN_DEVIATION = 1e-9  # a deviation that is rounding
_CHUNK_ROWS = 10_000  # rows that are scored at once: a scored row takes several times its memory

Array = NDArray[np.float64]


@dataclass(frozen=True)
class QuantileNormalizer:
    """Normal scores of a matrix's columns, read off their quantiles.

    Attributes
    ----------
    quantiles : numpy.ndarray, shape (n_columns, 51)
        Of the values that are there; zeros in a column without any.
    mean, deviation : numpy.ndarray, shape (n_columns,)
        Of the scores, since ties and tails keep them from being standard normal; a column that
        does not vary scores 0.
    missing : numpy.ndarray, shape (n_columns,)
        Share of missing values.
    """

    quantiles: Array
    mean: Array
    deviation: Array
    missing: Array

    def __call__(self, matrix: Array) -> Array:
        """Give the standardised scores, then for each column by how much it is missing.

        Parameters
        ----------
        matrix : numpy.ndarray, shape (n, n_columns)
            NaN where missing.

        Returns
        -------
        numpy.ndarray, shape (n, 2 · n_columns)
            Of mean 0 over what the scale was made of. A missing value scores 0; the second half is
            1 less the share of missing values where the value is missing, else 0 less it.
        """
        unit = np.where(self.deviation > _MIN_DEVIATION, self.deviation, np.inf)
        scores = (_compute_normal_scores(matrix, self.quantiles) - self.mean) / unit
        return np.hstack([np.nan_to_num(scores), np.isnan(matrix) - self.missing])


def fit_normalizer(matrix: Array) -> QuantileNormalizer:
    """Measure the quantiles of each column.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n_columns)
        NaN where missing.
    """
    missing = np.isnan(matrix).mean(axis=0)
    quantiles = np.zeros((matrix.shape[1], len(_QUANTILE_LEVELS)))
    for column in np.flatnonzero(missing < 1):
        quantiles[column] = np.nanquantile(matrix[:, column], _QUANTILE_LEVELS)
    scores = np.ma.masked_invalid(_compute_normal_scores(matrix, quantiles))
    mean, deviation = scores.mean(axis=0).filled(0.0), scores.std(axis=0).filled(0.0)
    return QuantileNormalizer(quantiles, mean, deviation, missing)


def compute_default_blend_weight(accounts: pl.Series, label: Array, prior_accounts: float) -> float:
    """Give the regression's share of a blend where nothing else is known.

    Parameters
    ----------
    accounts : polars.Series
        Whose row each is.
    label : numpy.ndarray, shape (n,)
        1 where it happened, 0 where not, NaN while that is unknown.
    prior_accounts : float
        Accounts that it happened to which the regression weighs as much as.

    Returns
    -------
    float
        ``prior_accounts`` ÷ (``prior_accounts`` + accounts that it happened to), in [0, 1].

    Examples
    --------
    >>> compute_default_blend_weight(pl.Series(["a", "a", "b", "c"]), np.array([1.0, 1.0, 1.0, np.nan]), prior_accounts=6)
    0.75
    """
    expanded_accounts = accounts.filter(pl.Series(label == 1)).n_unique()
    return prior_accounts / (prior_accounts + expanded_accounts) if prior_accounts else 0.0


def _compute_normal_scores(matrix: Array, quantiles: Array) -> Array:
    """Normal scores; a value that several quantiles share stands in their middle."""
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
    """Regressions on account bootstraps, over one scale; margins are linear in the scores.

    Attributes
    ----------
    normalizer : Scale
        How the columns are scored.
    coefficients : numpy.ndarray, shape (n_members, 2 · n_columns)
        Of the scores, then of missing values.
    intercepts : numpy.ndarray, shape (n_members,)
        Margins where every column is at its mean.
    """

    normalizer: QuantileNormalizer
    coefficients: Array
    intercepts: Array

    def predict_margins(self, matrix: Array) -> Array:
        """Log-odds of each member.

        Returns
        -------
        numpy.ndarray, shape (n_members, n)
        """
        pieces = [
            self.coefficients @ self.normalizer(matrix[start : start + _CHUNK_ROWS]).T
            for start in range(0, max(len(matrix), 1), _CHUNK_ROWS)
        ]
        return np.asarray(np.hstack(pieces) + self.intercepts[:, None])

    @property
    def mean_intercept(self) -> float:
        """The mean margin of the members where every column is at its mean."""
        return float(self.intercepts.mean())

    def compute_contributions(self, matrix: Array) -> Array:
        """What each column adds to the mean margin of the members, over its own mean.

        Returns
        -------
        numpy.ndarray, shape (n, n_columns)
        """
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
    """Fit a regression on each bootstrap.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n_columns)
        NaN where missing.
    label : numpy.ndarray, shape (n,)
        1 where it happened, 0 where not, NaN while that is unknown.
    bootstrap_weights : sequence of numpy.ndarray, shape (n,)
        How often each row is in each bootstrap.
    ridge_penalty : float
        Penalty: 1 / variance of a weight before the data speaks.
    constraints : sequence of int, length n_columns
        1 or −1 where a column is held to act so, else 0. A column that would act the other way
        is left out.

    Returns
    -------
    BaggedLogistic
        The same data gives the same weights.
    """
    labelled = ~np.isnan(label)
    normalizer = fit_normalizer(matrix[labelled])
    scores, outcome = normalizer(matrix[labelled]), label[labelled]
    score_constraints = np.array([*constraints, *np.zeros(len(constraints))])
    weights, intercepts = [], []
    # More threads add in another order, which moves the last bits.
    with threadpool_limits(1):
        for draw in bootstrap_weights:
            weight = draw[labelled]
            rows = weight > 0
            estimate = _fit_constrained_logistic(
                scores[rows], outcome[rows], weight[rows], ridge_penalty, score_constraints
            )
            weights.append(estimate[0])
            intercepts.append(estimate[1])
    return BaggedLogistic(normalizer, np.stack(weights), np.array(intercepts))


def _fit_constrained_logistic(
    scores: Array, label: Array, weight: Array, ridge_penalty: float, constraints: Array
) -> tuple[Array, float]:
    """Weights and intercept; columns that would act against their direction are left out."""
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
