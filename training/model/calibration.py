"""Blend of the two margins and affine (Platt) calibration, where it improves log loss.

Both are fitted on predictions made before their outcome was known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

__all__ = [
    "Calibration",
    "fit_affine_calibration",
    "fit_blend_and_calibration",
    "fit_calibration",
    "select_blend_weight",
]

_MIN_CLASS_COUNT = 20
_BLEND_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Affine (Platt) calibration: probability = 1 / (1 + exp(−(intercept + slope × margin)))."""

    slope: float = 1.0
    intercept: float = 0.0

    def __str__(self) -> str:
        if self == Calibration():
            return "uncalibrated"
        return f"calibrated with slope {self.slope:.2f}, intercept {self.intercept:+.2f}"

    def to_log_odds(self, margin: Array) -> Array:
        """Map margins to calibrated log-odds; the order is unchanged."""
        return np.asarray(self.intercept + self.slope * margin)

    def to_probability(self, margin: Array) -> Array:
        """Map margins to calibrated probabilities; the order is unchanged."""
        return np.asarray(expit(self.to_log_odds(margin)))


def fit_blend_and_calibration(
    predictions: pl.DataFrame, default_weight: float
) -> tuple[float, Calibration]:
    """Select the blend weight, then fit the calibration of the margins blended with it.

    The predictions hold ``account_id``, ``cutoff``, ``gbm_margin``, ``logistic_margin`` and
    ``label``; rows whose label is null, because it has not matured, are ignored.
    """
    matured = predictions.drop_nulls("label")
    gbm, logistic = (matured[f"{name}_margin"].to_numpy() for name in ("gbm", "logistic"))
    outcome = matured["label"].to_numpy().astype(np.float64)
    account = matured["account_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    blend_weight = select_blend_weight(
        gbm, logistic, outcome, account, default_weight=default_weight
    )
    blended = pl.Series((1 - blend_weight) * gbm + blend_weight * logistic)
    return blend_weight, fit_calibration(matured.with_columns(margin=blended))


def fit_calibration(predictions: pl.DataFrame) -> Calibration:
    """Fit the calibration of ``margin`` on the predictions whose ``label`` has matured."""
    matured = predictions.drop_nulls("label")
    return fit_affine_calibration(
        matured["margin"].to_numpy(),
        matured["label"].to_numpy().astype(np.float64),
        matured["cutoff"].to_list(),
        matured["account_id"].rank("dense").cast(pl.Int64).to_numpy() - 1,
    )


def fit_affine_calibration(
    margin: Array, expanded: Array, groups: Sequence[object], account: NDArray[np.int64]
) -> Calibration:
    """Fit an affine calibration on out-of-time predictions, or the identity where it does not help.

    It is also the identity where either class is too rare or the slope is not positive.

    Parameters
    ----------
    margin, expanded : numpy.ndarray, shape (n,)
        Margins of predictions made before their outcome was known, and the outcomes: 1 or 0.
    groups : sequence, length n
        Cutoff of each prediction. Calibration helps if its leave-one-cutoff-out log loss, over all
        cutoffs, is lower by more than one standard error over accounts. This keeps the luck of a
        few accounts from moving all probabilities.
    account : numpy.ndarray of int, shape (n,)
        Codes from 0, because rows of one account are correlated.
    """
    fold_names = np.asarray(groups, dtype=str)
    if _count_minority_class(expanded) < _MIN_CLASS_COUNT or len(set(fold_names)) < 2:
        return Calibration()
    calibrated = np.empty_like(margin)
    for fold_name in sorted(set(fold_names)):
        inside = fold_names == fold_name
        if _count_minority_class(expanded[~inside]) < _MIN_CLASS_COUNT // 2:
            return Calibration()
        calibrated[inside] = _fit_affine(margin[~inside], expanded[~inside]).to_log_odds(
            margin[inside]
        )
    improvement = _compute_log_losses(margin, expanded) - _compute_log_losses(calibrated, expanded)
    if not _exceeds_one_standard_error(improvement, account):
        return Calibration()
    return _fit_affine(margin, expanded)


def select_blend_weight(
    gbm: Array,
    logistic: Array,
    expanded: Array,
    account: NDArray[np.int64],
    *,
    default_weight: float,
) -> float:
    """Select the weight of the regressions in the margin.

    It is the one with the lowest log loss, each under its own best calibration; the default unless
    that is better by more than one standard error over accounts. The arrays are those of
    :func:`fit_affine_calibration`, with the margins of either learner.
    """
    if _count_minority_class(expanded) < _MIN_CLASS_COUNT:
        return default_weight
    losses = {}
    for weight in sorted({*_BLEND_WEIGHTS, default_weight}):
        margin = (1 - weight) * gbm + weight * logistic
        log_odds = _fit_affine(margin, expanded).to_log_odds(margin)
        losses[weight] = _compute_log_losses(log_odds, expanded)
    best = min(losses, key=lambda weight: float(losses[weight].sum()))
    improvement = losses[default_weight] - losses[best]
    return best if _exceeds_one_standard_error(improvement, account) else default_weight


def _exceeds_one_standard_error(improvement: Array, account: NDArray[np.int64]) -> bool:
    """Check that the summed improvement exceeds one standard error over accounts."""
    gain = np.bincount(account, weights=improvement)
    return bool(gain.sum() > np.sqrt(len(gain) * gain.var()))


def _compute_log_losses(log_odds: Array, expanded: Array) -> Array:
    """Compute the log loss of each row."""
    return np.asarray(np.logaddexp(0, np.where(expanded > 0, -log_odds, log_odds)))


def _count_minority_class(expanded: Array) -> float:
    """Count the predictions of the rarer class."""
    return float(min(expanded.sum(), len(expanded) - expanded.sum()))


def _fit_affine(margin: Array, expanded: Array) -> Calibration:
    # Several threads would sum in another order and change the last bits.
    with threadpool_limits(1):
        model = LogisticRegression(C=np.inf).fit(margin[:, None], expanded)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Calibration(slope, intercept) if slope > 0 else Calibration()
