"""Metrics of probabilities: proper scores, skill and calibration.

Each metric is computed on a stack of weighted replicates; see
:mod:`training.metrics.cluster_bootstrap`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from training.metrics.cluster_bootstrap import (
    Array,
    Metric,
    ResampleWeights,
    mean_metric,
    ratio_metric,
    safe_divide,
    skill_metric,
)

__all__ = [
    "bootstrap_calibration_slope",
    "brier_score",
    "brier_skill_score",
    "calibration_error",
    "calibration_slope",
    "clip_probability",
    "log_loss",
    "log_loss_skill",
    "observed_to_expected",
]

_EPSILON = 1e-6
_BINS = 10
_NEWTON_STEPS = 50
_TOLERANCE = 1e-10
_MAX_STEP = 2.0
_MAX_CONDITION = 1e12
_TINY = 1e-300

BoolArray = NDArray[np.bool_]


def clip_probability(probability: Array) -> Array:
    """Clip a probability away from 0 and 1, so that log loss is finite."""
    return probability.clip(_EPSILON, 1 - _EPSILON)


def log_loss(probability: Array, expanded: BoolArray) -> Metric:
    """Mean logarithmic loss."""
    return mean_metric(_compute_log_losses(probability, expanded))


def log_loss_skill(probability: Array, reference: Array, expanded: BoolArray) -> Metric:
    """Log-loss skill: relative reduction of a reference's log loss."""
    return skill_metric(
        _compute_log_losses(probability, expanded), _compute_log_losses(reference, expanded)
    )


def brier_score(probability: Array, expanded: BoolArray) -> Metric:
    """Brier score: mean squared difference from the outcome."""
    return mean_metric((probability - expanded) ** 2)


def brier_skill_score(probability: Array, reference: Array, expanded: BoolArray) -> Metric:
    """Brier skill score: relative reduction of a reference's Brier score."""
    return skill_metric((probability - expanded) ** 2, (reference - expanded) ** 2)


def observed_to_expected(probability: Array, expanded: BoolArray) -> Metric:
    """Ratio of observed to expected expansions."""
    return ratio_metric(expanded.astype(np.float64), probability)


def bootstrap_calibration_slope(probability: Array, expanded: BoolArray) -> Metric:
    """Compute :func:`calibration_slope` on each replicate."""
    return lambda weights: np.array(
        [calibration_slope(probability, expanded, row) for row in weights.row]
    )


def calibration_error(probability: Array, expanded: BoolArray, bins: int = _BINS) -> Metric:
    """Root mean square calibration error over bins, corrected for sampling variance.

    Bins have about equal size; accounts of equal probability share a bin. The observed rate of a
    bin varies around the true one, which would make any model look miscalibrated. This variance is
    subtracted [1]_.

    References
    ----------
    .. [1] A. Kumar, P. Liang and T. Ma, "Verified Uncertainty Calibration", NeurIPS 2019.
    """
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1]))
    bin_membership = np.eye(len(edges) + 1)[np.searchsorted(edges, probability, side="left")]

    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row
        size = row @ bin_membership
        predicted = safe_divide(row @ (bin_membership * probability[:, None]), size)
        observed = safe_divide(row @ (bin_membership * expanded[:, None]), size)
        sampling_variance = safe_divide(observed * (1 - observed), size - 1)
        gap = np.nan_to_num((predicted - observed) ** 2 - sampling_variance)
        return np.sqrt(np.maximum(safe_divide((size * gap).sum(axis=1), size.sum(axis=1)), 0))

    return compute_replicates


def calibration_slope(
    probability: Array, expanded: BoolArray, weight: Array | None = None
) -> float:
    """Slope of the outcome's log-odds on the predicted log-odds, with a free intercept [1]_.

    One is ideal; below one the predictions are overconfident, above one underconfident.

    The maximum-likelihood estimate is NaN where there is none, as where all predictions are equal
    or separate the classes perfectly.

    References
    ----------
    .. [1] D. R. Cox, "Two Further Applications of a Model for Binary Regression", Biometrika 1958.

    Examples
    --------
    Predicted odds of 1 and 9, and the same observed odds:

    >>> probability = np.repeat([0.5, 0.9], 20)
    >>> expanded = np.array([True, False] * 10 + [True] * 18 + [False] * 2)
    >>> round(calibration_slope(probability, expanded), 6)
    1.0
    """
    if len(probability) == 0 or np.ptp(probability) == 0:
        return float("nan")
    predicted = logit(probability)
    center = predicted.mean()  # centred for numerical stability; the slope is unchanged
    terms = np.column_stack([np.ones_like(predicted), predicted - center])
    weights = np.ones(len(predicted)) if weight is None else weight
    return _maximize_likelihood(terms, expanded, weights, start=np.array([center, 1.0]))


def _maximize_likelihood(terms: Array, expanded: BoolArray, weights: Array, start: Array) -> float:
    """Maximise a logistic likelihood by Newton's method and return the second coefficient."""
    coefficients = start
    for _ in range(_NEWTON_STEPS):
        fitted = expit(terms @ coefficients)
        curvature = (terms * (weights * fitted * (1 - fitted))[:, None]).T @ terms
        if np.linalg.cond(curvature) > _MAX_CONDITION:
            return float("nan")
        step = np.linalg.solve(curvature, terms.T @ (weights * (expanded - fitted)))
        coefficients = coefficients + step * min(1.0, _MAX_STEP / np.abs(step).max(initial=_TINY))
        if np.abs(step).max() < _TOLERANCE:
            return float(coefficients[1])
    return float("nan")


def _compute_log_losses(probability: Array, expanded: BoolArray) -> Array:
    clipped = clip_probability(probability)
    return np.asarray(-np.log(np.where(expanded, clipped, 1 - clipped)))
