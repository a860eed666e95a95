"""What is said of a snapshot at a horizon: a margin, a probability, and an interval of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from training.calibration import Calibration
from training.horizons import Horizons

__all__ = ["Estimate", "stated"]

_NINETY = 1.2815515655446004  # standard normal quantile of 0.9: an interval of 80 %

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """What the model says of each snapshot at one horizon; every array has a value per snapshot.

    Attributes
    ----------
    margin : numpy.ndarray
        Mean log-odds of the members, before calibration: what ranks and what is explained.
    probability, low, high : numpy.ndarray
        Calibrated, with an 80 % interval: of what the members disagree on, and of how much accounts
        differ that look alike.
    trees_margin, linear_margin : numpy.ndarray
        The two that were blended.
    """

    margin: Array
    probability: Array
    low: Array
    high: Array
    trees_margin: Array
    linear_margin: Array

    def __repr__(self) -> str:
        stated = self.probability
        if not len(stated):
            return "Estimate(of no snapshot)"
        return (
            f"Estimate(of {len(stated):,} snapshots: probability {stated.min():.1%} to"
            f" {stated.max():.1%}, mean {stated.mean():.1%})"
        )


def stated(
    margins: Array,
    calibration: Calibration,
    unseen_spread: float,
    horizons: Horizons,
    horizon_days: int,
) -> Estimate:
    """Say what margins come to at a horizon.

    Parameters
    ----------
    margins : numpy.ndarray, shape (n_members, n_snapshots)
        Log-odds at the model's own horizon, before calibration.
    calibration : training.calibration.Calibration
        The map from margin to log-odds. The horizons follow it: they were fitted as if the margins
        were right at their own.
    unseen_spread : float
        Standard deviation of the log-odds between accounts that look alike.
    horizons : training.horizons.Horizons
        From the model's own horizon to the others.
    horizon_days : int
        The horizon that is asked about.
    """
    mean = margins.mean(axis=0)
    members = horizons.at(calibration.log_odds(margins), horizon_days)
    spread = np.hypot(members.std(axis=0, ddof=1), unseen_spread)
    log_odds = horizons.at(calibration.log_odds(mean), horizon_days)
    margin = horizons.at(mean, horizon_days)
    return Estimate(margin, expit(log_odds), *_interval(log_odds, spread), margin, margin)


def _interval(log_odds: Array, spread: Array) -> tuple[Array, Array]:
    """Bounds of 80 % of the accounts whose mean probability has these log-odds.

    If the log-odds of such accounts are normal around a centre, the centre lies further out than
    the log-odds of the mean: by the probit approximation [1]_, and for rare outcomes, where the
    normal becomes a log-normal, by half the variance.

    References
    ----------
    .. [1] D. MacKay, "The Evidence Framework Applied to Classification Networks", 1992.
    """
    probit = np.abs(log_odds) * np.sqrt(1 + np.pi * spread**2 / 8)
    centre = np.sign(log_odds) * np.minimum(probit, np.abs(log_odds) + spread**2 / 2)
    low, high = expit(centre - _NINETY * spread), expit(centre + _NINETY * spread)
    probability = expit(log_odds)
    return np.minimum(low, probability), np.maximum(high, probability)
