"""Whether a stated probability is true, and how much it says.

Each figure is computed on a stack of weighted draws at once; see :mod:`training.resampling`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from training.resampling import Array, Metric, Weights, mean, over, ratio, saved

__all__ = [
    "brier",
    "brier_skill",
    "calibration_error",
    "calibration_slope",
    "calibration_slopes",
    "clipped",
    "log_loss",
    "log_loss_skill",
    "observed_to_expected",
]

_LEAST = 1e-6
_BINS = 10
_NEWTON_STEPS = 50
_SETTLED = 1e-10
_LONGEST_STEP = 2.0
_SINGULAR = 1e12
_TINY = 1e-300

Flags = NDArray[np.bool_]


def clipped(probability: Array) -> Array:
    """Keep a probability off 0 and 1: being sure and wrong costs much, not infinitely much."""
    return probability.clip(_LEAST, 1 - _LEAST)


def log_loss(probability: Array, expanded: Flags) -> Metric:
    """Mean logarithmic loss."""
    return mean(_log_losses(probability, expanded))


def log_loss_skill(probability: Array, reference: Array, expanded: Flags) -> Metric:
    """Share of a reference's logarithmic loss that is saved."""
    return saved(_log_losses(probability, expanded), _log_losses(reference, expanded))


def brier(probability: Array, expanded: Flags) -> Metric:
    """Mean squared difference from the outcome."""
    return mean((probability - expanded) ** 2)


def brier_skill(probability: Array, reference: Array, expanded: Flags) -> Metric:
    """Share of a reference's Brier score that is saved."""
    return saved((probability - expanded) ** 2, (reference - expanded) ** 2)


def observed_to_expected(probability: Array, expanded: Flags) -> Metric:
    """How many expanded for each that was expected to."""
    return ratio(expanded.astype(np.float64), probability)


def calibration_slopes(probability: Array, expanded: Flags) -> Metric:
    """:func:`calibration_slope` of each draw."""
    return lambda weights: np.array(
        [calibration_slope(probability, expanded, row) for row in weights.row]
    )


def calibration_error(probability: Array, expanded: Flags, bins: int = _BINS) -> Metric:
    """Root mean square gap between stated and observed rate, less what chance alone would show.

    Over bins of about equal size; accounts of equal probability share a bin. The observed rate of a
    bin scatters around the true one, which would make any model look miscalibrated: its variance is
    taken off [1]_.

    References
    ----------
    .. [1] A. Kumar, P. Liang and T. Ma, "Verified Uncertainty Calibration", NeurIPS 2019.
    """
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1]))
    inside = np.eye(len(edges) + 1)[np.searchsorted(edges, probability, side="left")]

    def metric(weights: Weights) -> Array:
        row = weights.row
        size = row @ inside
        stated = over(row @ (inside * probability[:, None]), size)
        observed = over(row @ (inside * expanded[:, None]), size)
        chance = over(observed * (1 - observed), size - 1)
        gap = np.nan_to_num((stated - observed) ** 2 - chance)
        return np.sqrt(np.maximum(over((size * gap).sum(axis=1), size.sum(axis=1)), 0))

    return metric


def calibration_slope(probability: Array, expanded: Flags, weight: Array | None = None) -> float:
    """Slope of the outcome's log-odds on the stated log-odds, with a free intercept [1]_.

    One is right; below one the stated probabilities are too extreme, above one too timid.

    Parameters
    ----------
    probability : numpy.ndarray, shape (n,)
        Stated, in (0, 1).
    expanded : numpy.ndarray of bool, shape (n,)
        What happened.
    weight : numpy.ndarray, shape (n,), optional
        How often each row counts.

    Returns
    -------
    float
        At the maximum of the likelihood; nan where there is none, as where all stated probabilities
        are equal or part the outcomes without error.

    References
    ----------
    .. [1] D. R. Cox, "Two Further Applications of a Model for Binary Regression", Biometrika 1958.

    Examples
    --------
    Stated odds of 1 and 9, and just so did it happen:

    >>> probability = np.repeat([0.5, 0.9], 20)
    >>> expanded = np.array([True, False] * 10 + [True] * 18 + [False] * 2)
    >>> round(calibration_slope(probability, expanded), 6)
    1.0
    """
    if len(probability) == 0 or np.ptp(probability) == 0:
        return float("nan")
    stated = logit(probability)
    middle = stated.mean()  # taken off for the sake of the arithmetic; the slope is the same
    terms = np.column_stack([np.ones_like(stated), stated - middle])
    counts = np.ones(len(stated)) if weight is None else weight
    return _newton(terms, expanded, counts, start=np.array([middle, 1.0]))


def _newton(terms: Array, expanded: Flags, counts: Array, start: Array) -> float:
    """Climb to the maximum of a logistic likelihood, and give the second coefficient."""
    found = start
    for _ in range(_NEWTON_STEPS):
        fitted = expit(terms @ found)
        curvature = (terms * (counts * fitted * (1 - fitted))[:, None]).T @ terms
        if np.linalg.cond(curvature) > _SINGULAR:
            return float("nan")
        step = np.linalg.solve(curvature, terms.T @ (counts * (expanded - fitted)))
        found = found + step * min(1.0, _LONGEST_STEP / np.abs(step).max(initial=_TINY))
        if np.abs(step).max() < _SETTLED:
            return float(found[1])
    return float("nan")


def _log_losses(probability: Array, expanded: Flags) -> Array:
    stated = clipped(probability)
    return np.asarray(-np.log(np.where(expanded, stated, 1 - stated)))
