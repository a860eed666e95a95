"""One strictly increasing map from margin to probability, or none where it does not help."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

__all__ = ["Calibration", "fit"]

_FEWEST_EXPANSIONS = 20

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Affine in the log-odds: probability = 1 / (1 + exp(−(intercept + slope × margin)))."""

    slope: float = 1.0
    intercept: float = 0.0

    def __str__(self) -> str:
        if self == Calibration():
            return "uncalibrated"
        return f"calibrated with slope {self.slope:.2f}, intercept {self.intercept:+.2f}"

    def probability(self, margin: Array) -> Array:
        """Map margins to probabilities; the order stays."""
        return np.asarray(expit(self.intercept + self.slope * margin))


def fit(margin: Array, expanded: Array, groups: Sequence[object]) -> Calibration:
    """Fit the map on out-of-time predictions, and keep it only where it helps.

    Parameters
    ----------
    margin : numpy.ndarray, shape (n,)
        Margins of predictions made before their outcome was known.
    expanded : numpy.ndarray, shape (n,)
        1 where the account expanded, else 0.
    groups : sequence, length n
        The cut each prediction was made from. The map helps when, fitted without one cut, it
        lowers the log loss on that cut, over all cuts together.

    Returns
    -------
    Calibration
        The identity where either outcome is too rare, the slope is not positive, or it does not
        help.
    """
    cuts = np.asarray(groups, dtype=str)
    if _rarer(expanded) < _FEWEST_EXPANSIONS or len(set(cuts)) < 2:
        return Calibration()
    held_out = np.empty_like(margin)
    for cut in sorted(set(cuts)):
        inside = cuts == cut
        if _rarer(expanded[~inside]) < _FEWEST_EXPANSIONS // 2:
            return Calibration()
        held_out[inside] = _affine(margin[~inside], expanded[~inside]).probability(margin[inside])
    plain = log_loss(expanded, Calibration().probability(margin), labels=[0, 1])
    if log_loss(expanded, held_out, labels=[0, 1]) >= plain:
        return Calibration()
    return _affine(margin, expanded)


def _rarer(expanded: Array) -> float:
    """How many accounts had the rarer of the two outcomes."""
    return float(min(expanded.sum(), len(expanded) - expanded.sum()))


def _affine(margin: Array, expanded: Array) -> Calibration:
    model = LogisticRegression(C=np.inf).fit(margin[:, None], expanded)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Calibration(slope, intercept) if slope > 0 else Calibration()
