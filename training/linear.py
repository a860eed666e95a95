"""A ridge logistic regression on quantile-normalised columns: what a small history can bear.

Every column is mapped to the normal scores of its quantiles, so that neither units nor tails
matter, and the ridge is a prior: 1 / variance of a weight before the data speaks. A missing value
stands at the mean, and has a weight of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

__all__ = ["Linear", "Scale", "fit", "scale"]

_SHARES = np.linspace(0, 1, 51)
_FARTHEST = 2.5  # standard deviations: beyond the outermost quantiles all values count alike
_STILL = 1e-9  # a deviation that is rounding
_AT_ONCE = 10_000  # rows that are scored at once: a scored row takes several times its memory
_SHIFT = 40.0  # no offset between horizons is larger, in log-odds

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
        At the horizon that they were fitted at.
    offsets : mapping of int to float
        Horizon in days → what it adds to the margin; rising.
    """

    scale: Scale
    weights: Array
    intercepts: Array
    offsets: Mapping[int, float]

    def margins(self, matrix: Array, horizon_days: int) -> Array:
        """Log-odds of each member; between horizons the offset is interpolated.

        Returns
        -------
        numpy.ndarray, shape (n_members, n)
        """
        return self.bare_margins(matrix) + self.levels(horizon_days)

    def bare_margins(self, matrix: Array) -> Array:
        """Log-odds of each member without its level: what all horizons share.

        Returns
        -------
        numpy.ndarray, shape (n_members, n)
        """
        pieces = [
            self.weights @ self.scale(matrix[start : start + _AT_ONCE]).T
            for start in range(0, max(len(matrix), 1), _AT_ONCE)
        ]
        return np.hstack(pieces)

    def levels(self, horizon_days: int) -> Array:
        """What each member adds at a horizon to every row.

        Returns
        -------
        numpy.ndarray, shape (n_members, 1)
        """
        return np.asarray(self.intercepts[:, None] + self._offset(horizon_days))

    def level(self, horizon_days: int) -> float:
        """The mean margin of the members where every column is at its mean."""
        return float(self.intercepts.mean()) + self._offset(horizon_days)

    def contributions(self, matrix: Array) -> Array:
        """What each column adds to the mean margin of the members, over its own mean.

        Returns
        -------
        numpy.ndarray, shape (n, n_columns)
        """
        parts = self.scale(matrix) * self.weights.mean(axis=0)
        columns = parts.shape[1] // 2
        return np.asarray(parts[:, :columns] + parts[:, columns:])

    def _offset(self, horizon_days: int) -> float:
        return float(np.interp(horizon_days, list(self.offsets), list(self.offsets.values())))


def fit(
    matrix: Array,
    labels: Mapping[int, Array],
    draws: Sequence[Array],
    *,
    horizon_days: int,
    ridge: float,
    directions: Sequence[int],
) -> Linear:
    """Fit a regression on each bootstrap at one horizon, and the offsets of the others.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n_columns)
        NaN where missing.
    labels : mapping of int to numpy.ndarray, shape (n,)
        Horizon in days → 1 where it happened within it, 0 where not, NaN while that is unknown.
    draws : sequence of numpy.ndarray, shape (n,)
        How often each row is in each bootstrap.
    horizon_days : int
        The horizon at which the weights are fitted.
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
    known = ~np.isnan(labels[horizon_days])
    made = scale(matrix[known])
    scores = made(matrix)
    held = np.array([*directions, *np.zeros(len(directions))])
    weights, intercepts = [], []
    # More threads add in another order, which moves the last bits.
    with threadpool_limits(1):
        for draw in draws:
            rows = known & (draw > 0)
            found = _regressed(scores[rows], labels[horizon_days][rows], draw[rows], ridge, held)
            weights.append(found[0])
            intercepts.append(found[1])
        stacked, level = np.stack(weights), np.array(intercepts)
        margin = scores @ stacked.mean(axis=0) + level.mean()
    return Linear(made, stacked, level, _offsets(margin, labels, horizon_days))


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


def _offsets(margin: Array, labels: Mapping[int, Array], horizon_days: int) -> dict[int, float]:
    """What each horizon adds, so that on its complete windows as many happen as are expected."""
    found = {horizon: _offset(margin, label) for horizon, label in sorted(labels.items())}
    found[horizon_days] = 0.0
    signed = {h: min(o, 0.0) if h < horizon_days else max(o, 0.0) for h, o in found.items()}
    rising = np.maximum.accumulate(list(signed.values()))
    return dict(zip(signed, map(float, rising), strict=True))


def _offset(margin: Array, label: Array) -> float:
    known = ~np.isnan(label)
    if not known.any():
        return 0.0
    happened = float(label[known].sum())

    def excess(offset: float) -> float:
        return float(expit(margin[known] + offset).sum()) - happened

    if excess(-_SHIFT) >= 0 or excess(_SHIFT) <= 0:  # nothing happened, or everything
        return -_SHIFT if happened == 0 else _SHIFT
    return float(brentq(excess, -_SHIFT, _SHIFT))
