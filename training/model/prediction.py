"""Prediction of a snapshot at a horizon: margin, probability and its interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from training.model.calibration import Calibration
from training.model.horizons import HorizonLink

__all__ = ["Prediction", "build_prediction"]

_Z_90 = 1.2815515655446004  # standard normal quantile of 0.9, for an 80 % interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """Model output at one horizon; every array has one value per snapshot.

    Attributes
    ----------
    margin : numpy.ndarray
        Mean log-odds of the members before calibration; used to rank and to explain.
    probability, low, high : numpy.ndarray
        Calibrated probability with an 80 % interval. The interval covers the members' disagreement
        and the variation between accounts with equal features.
    gbm_margin, logistic_margin : numpy.ndarray
        The two blended margins.
    """

    margin: Array
    probability: Array
    low: Array
    high: Array
    gbm_margin: Array
    logistic_margin: Array

    def __repr__(self) -> str:
        probability = self.probability
        if not len(probability):
            return "Prediction(0 snapshots)"
        return (
            f"Prediction({len(probability):,} snapshots: probability {probability.min():.1%} to"
            f" {probability.max():.1%}, mean {probability.mean():.1%})"
        )


def build_prediction(
    margins: Array,
    calibration: Calibration,
    residual_logit_sd: float,
    horizon_link: HorizonLink,
    horizon_days: int,
) -> Prediction:
    """Convert member margins to a prediction at a horizon.

    Parameters
    ----------
    margins : numpy.ndarray, shape (n_members, n_snapshots)
        Log-odds at the primary horizon, before calibration.
    calibration : training.model.calibration.Calibration
        Map from margin to log-odds. It is applied before the horizon link, which was fitted as if
        the margins were calibrated at their own horizon.
    residual_logit_sd : float
        Standard deviation of the log-odds between accounts with equal features.
    horizon_link : training.model.horizons.HorizonLink
        Maps the primary horizon to the others.
    horizon_days : int
        The requested horizon.
    """
    mean = margins.mean(axis=0)
    members = horizon_link.predict_logit(calibration.to_log_odds(margins), horizon_days)
    spread = np.hypot(members.std(axis=0, ddof=1), residual_logit_sd)
    log_odds = horizon_link.predict_logit(calibration.to_log_odds(mean), horizon_days)
    margin = horizon_link.predict_logit(mean, horizon_days)
    return Prediction(margin, expit(log_odds), *_compute_interval(log_odds, spread), margin, margin)


def _compute_interval(log_odds: Array, spread: Array) -> tuple[Array, Array]:
    """Compute bounds that hold 80 % of the accounts whose mean probability has these log-odds.

    If the log-odds of such accounts are normal, their centre lies further from 0 than the log-odds
    of the mean: by the probit approximation [1]_, and for rare outcomes, where the normal becomes a
    log-normal, by half the variance.

    References
    ----------
    .. [1] D. MacKay, "The Evidence Framework Applied to Classification Networks", 1992.
    """
    probit = np.abs(log_odds) * np.sqrt(1 + np.pi * spread**2 / 8)
    centre = np.sign(log_odds) * np.minimum(probit, np.abs(log_odds) + spread**2 / 2)
    low, high = expit(centre - _Z_90 * spread), expit(centre + _Z_90 * spread)
    probability = expit(log_odds)
    return np.minimum(low, probability), np.maximum(high, probability)
