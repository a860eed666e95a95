"""From two margins to a probability: their blend, and one strictly increasing map, if it helps.

Both are settled on predictions that were made before their outcome was known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

__all__ = ["Calibration", "fit", "linear_share", "settled"]

_FEWEST_EXPANSIONS = 20
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)

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

    def log_odds(self, margin: Array) -> Array:
        """Map margins to log-odds; the order stays."""
        return np.asarray(self.intercept + self.slope * margin)

    def probability(self, margin: Array) -> Array:
        """Map margins to probabilities; the order stays."""
        return np.asarray(expit(self.log_odds(margin)))


def settled(predictions: pl.DataFrame, usual_share: float) -> tuple[float, Calibration]:
    """Settle the blend and then the map on predictions whose outcome has become known.

    Parameters
    ----------
    predictions : polars.DataFrame
        ``account_id``, ``cut``, ``trees_margin``, ``linear_margin``, ``happened``.
    usual_share : float
        As for :func:`linear_share`.

    Returns
    -------
    linear_share : float
        From :func:`linear_share`.
    calibration : Calibration
        From :func:`fit`, for margins that are blended so.
    """
    trees, linear = (predictions[f"{name}_margin"].to_numpy() for name in ("trees", "linear"))
    happened = predictions["happened"].to_numpy().astype(np.float64)
    account = predictions["account_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    share = linear_share(trees, linear, happened, account, usual=usual_share)
    margin = (1 - share) * trees + share * linear
    return share, fit(margin, happened, predictions["cut"].to_list(), account)


def fit(
    margin: Array, expanded: Array, groups: Sequence[object], account: NDArray[np.int64]
) -> Calibration:
    """Fit the map on out-of-time predictions, and keep it only where it helps.

    Parameters
    ----------
    margin : numpy.ndarray, shape (n,)
        Margins of predictions made before their outcome was known.
    expanded : numpy.ndarray, shape (n,)
        1 where the account expanded, else 0.
    groups : sequence, length n
        The cut each prediction was made from. The map helps when, fitted without one cut, it
        lowers the log loss on that cut, over all cuts together, by more than one standard error
        over accounts: else the luck of a few would move everybody.
    account : numpy.ndarray of int, shape (n,)
        Codes from 0: rows of one account resemble each other.

    Returns
    -------
    Calibration
        The identity where either outcome is too rare, the slope is not positive, or it does not
        help.
    """
    cuts = np.asarray(groups, dtype=str)
    if _rarer(expanded) < _FEWEST_EXPANSIONS or len(set(cuts)) < 2:
        return Calibration()
    mapped = np.empty_like(margin)
    for cut in sorted(set(cuts)):
        inside = cuts == cut
        if _rarer(expanded[~inside]) < _FEWEST_EXPANSIONS // 2:
            return Calibration()
        mapped[inside] = _affine(margin[~inside], expanded[~inside]).log_odds(margin[inside])
    saved = _losses(margin, expanded) - _losses(mapped, expanded)
    return _affine(margin, expanded) if _beyond_noise(saved, account) else Calibration()


def linear_share(
    trees: Array, linear: Array, expanded: Array, account: NDArray[np.int64], *, usual: float
) -> float:
    """Choose how much of the margin is the regressions'.

    Parameters
    ----------
    trees, linear : numpy.ndarray, shape (n,)
        Margins of predictions made before their outcome was known.
    expanded : numpy.ndarray, shape (n,)
        1 where the account expanded, else 0.
    account : numpy.ndarray of int, shape (n,)
        Codes from 0: rows of one account resemble each other.
    usual : float
        The share where nothing is known.

    Returns
    -------
    float
        The share of the lowest log loss, each share under its own best map; the usual one unless
        that is better by more than one standard error over accounts.
    """
    if _rarer(expanded) < _FEWEST_EXPANSIONS:
        return usual
    losses = {
        share: _mapped_losses((1 - share) * trees + share * linear, expanded)
        for share in sorted({*_SHARES, usual})
    }
    best = min(losses, key=lambda share: float(losses[share].sum()))
    return best if _beyond_noise(losses[usual] - losses[best], account) else usual


def _beyond_noise(saved: Array, account: NDArray[np.int64]) -> bool:
    """Whether what rows save comes to more than one standard error over accounts."""
    gain = np.bincount(account, weights=saved)
    return bool(gain.sum() > np.sqrt(len(gain) * gain.var()))


def _losses(log_odds: Array, expanded: Array) -> Array:
    """Log loss of each row."""
    return np.asarray(np.logaddexp(0, np.where(expanded > 0, -log_odds, log_odds)))


def _mapped_losses(margin: Array, expanded: Array) -> Array:
    """Log loss of each row under the best affine map of the margin."""
    return _losses(_affine(margin, expanded).log_odds(margin), expanded)


def _rarer(expanded: Array) -> float:
    """How many predictions had the rarer of the two outcomes."""
    return float(min(expanded.sum(), len(expanded) - expanded.sum()))


def _affine(margin: Array, expanded: Array) -> Calibration:
    # More threads add in another order, which moves the last bits.
    with threadpool_limits(1):
        model = LogisticRegression(C=np.inf).fit(margin[:, None], expanded)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Calibration(slope, intercept) if slope > 0 else Calibration()
