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

__all__ = ["Linear", "Scale", "fit", "scale", "share"]

_SHARES = np.linspace(0, 1, 51)
_FARTHEST = 2.5  # standard deviations: beyond the outermost quantiles all values count alike
_STILL = 1e-9  # a deviation that is rounding
_AT_ONCE = 10_000  # rows that are scored at once: a scored row takes several times its memory

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
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
        unit = np.where(self.deviation > _STILL, self.deviation, np.inf)
        scores = (_scores(matrix, self.quantiles) - self.mean) / unit
        return np.hstack([np.nan_to_num(scores), np.isnan(matrix) - self.missing])


def scale(matrix: Array) -> Scale:
    """Measure the quantiles of each column.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n_columns)
        NaN where missing.
    """
    missing = np.isnan(matrix).mean(axis=0)
    quantiles = np.zeros((matrix.shape[1], len(_SHARES)))
    for place in np.flatnonzero(missing < 1):
        quantiles[place] = np.nanquantile(matrix[:, place], _SHARES)
    scores = np.ma.masked_invalid(_scores(matrix, quantiles))
    mean, deviation = scores.mean(axis=0).filled(0.0), scores.std(axis=0).filled(0.0)
    return Scale(quantiles, mean, deviation, missing)


def share(accounts: pl.Series, label: Array, worth: float) -> float:
    """Give the regression's share of a blend where nothing else is known.

    Parameters
    ----------
    accounts : polars.Series
        Whose row each is.
    label : numpy.ndarray, shape (n,)
        1 where it happened, 0 where not, NaN while that is unknown.
    worth : float
        Accounts that it happened to which the regression weighs as much as.

    Returns
    -------
    float
        ``worth`` ÷ (``worth`` + accounts that it happened to), in [0, 1].

    Examples
    --------
    >>> share(pl.Series(["a", "a", "b", "c"]), np.array([1.0, 1.0, 1.0, np.nan]), worth=6)
    0.75
    """
    told = accounts.filter(pl.Series(label == 1)).n_unique()
    return worth / (worth + told) if worth else 0.0


def _scores(matrix: Array, quantiles: Array) -> Array:
    """Normal scores; a value that several quantiles share stands in their middle."""
    normal = np.clip(norm.ppf(_SHARES), -_FARTHEST, _FARTHEST)
    scores = np.empty(matrix.shape)
    for place, edges in enumerate(quantiles):
        values = matrix[:, place]
        upper = np.interp(values, edges, normal)
        lower = -np.interp(-values, -edges[::-1], -normal[::-1])
        scores[:, place] = (lower + upper) / 2
    return scores


@dataclass(frozen=True)
class Linear:
    """Regressions on account bootstraps, over one scale; margins are linear in the scores.

    Attributes
    ----------
    scale : Scale
        How the columns are scored.
    weights : numpy.ndarray, shape (n_members, 2 · n_columns)
        Of the scores, then of missing values.
    intercepts : numpy.ndarray, shape (n_members,)
        Margins where every column is at its mean.
    """

    scale: Scale
    weights: Array
    intercepts: Array

    def margins(self, matrix: Array) -> Array:
        """Log-odds of each member.

        Returns
        -------
        numpy.ndarray, shape (n_members, n)
        """
        pieces = [
            self.weights @ self.scale(matrix[start : start + _AT_ONCE]).T
            for start in range(0, max(len(matrix), 1), _AT_ONCE)
        ]
        return np.asarray(np.hstack(pieces) + self.intercepts[:, None])

    @property
    def level(self) -> float:
        """The mean margin of the members where every column is at its mean."""
        return float(self.intercepts.mean())

    def contributions(self, matrix: Array) -> Array:
        """What each column adds to the mean margin of the members, over its own mean.

        Returns
        -------
        numpy.ndarray, shape (n, n_columns)
        """
        parts = self.scale(matrix) * self.weights.mean(axis=0)
        columns = parts.shape[1] // 2
        return np.asarray(parts[:, :columns] + parts[:, columns:])


def fit(
    matrix: Array,
    label: Array,
    draws: Sequence[Array],
    *,
    ridge: float,
    directions: Sequence[int],
) -> Linear:
    """Fit a regression on each bootstrap.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n_columns)
        NaN where missing.
    label : numpy.ndarray, shape (n,)
        1 where it happened, 0 where not, NaN while that is unknown.
    draws : sequence of numpy.ndarray, shape (n,)
        How often each row is in each bootstrap.
    ridge : float
        Penalty: 1 / variance of a weight before the data speaks.
    directions : sequence of int, length n_columns
        1 or −1 where a column is held to act so, else 0. A column that would act the other way
        is left out.

    Returns
    -------
    Linear
        The same data gives the same weights.
    """
    known = ~np.isnan(label)
    made = scale(matrix[known])
    scores, happened = made(matrix[known]), label[known]
    held = np.array([*directions, *np.zeros(len(directions))])
    weights, intercepts = [], []
    # More threads add in another order, which moves the last bits.
    with threadpool_limits(1):
        for draw in draws:
            weight = draw[known]
            rows = weight > 0
            found = _regressed(scores[rows], happened[rows], weight[rows], ridge, held)
            weights.append(found[0])
            intercepts.append(found[1])
    return Linear(made, np.stack(weights), np.array(intercepts))


def _regressed(
    scores: Array, label: Array, weight: Array, ridge: float, held: Array
) -> tuple[Array, float]:
    """Weights and intercept; columns that would act against their direction are left out."""
    used = np.ones(len(held), dtype=bool)
    while True:
        learner = LogisticRegression(C=1 / ridge, solver="newton-cholesky", max_iter=200)
        learner.fit(scores[:, used], label, sample_weight=weight)
        weights = np.zeros(len(held))
        weights[used] = learner.coef_[0]
        against = weights * held < 0
        if not against.any():
            return weights, float(learner.intercept_[0])
        used &= ~against
