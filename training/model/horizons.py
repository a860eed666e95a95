"""Horizon link: an offset and a slope of the log-odds for every other horizon.

The ranking is learned at the primary horizon, where the signal is strongest. Two numbers per
horizon are fitted on out-of-bag margins, because in-sample margins are overconfident.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

__all__ = ["HorizonLink", "fit_horizon_link", "fit_line"]

# Gaussian prior of a constant hazard and equal odds ratios: 1 / variance.
_PRIOR_PRECISION: Final = np.array([1.0, 5.0])  # offset of the mean account, slope

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HorizonLink:
    """Affine map of log-odds from the primary horizon to the others.

    Attributes
    ----------
    horizon_days : int
        The primary horizon.
    coefficients : mapping of int to tuple of float
        Horizon in days, ascending → offset and slope of the log-odds; (0, 1) at the primary
        horizon.
    """

    horizon_days: int
    coefficients: Mapping[int, tuple[float, float]]

    def __repr__(self) -> str:
        others = (
            f"{days} days {slope:.2f} m {offset:+.2f}"
            for days, (offset, slope) in self.coefficients.items()
            if days != self.horizon_days
        )
        return f"HorizonLink({'; '.join([f'm = log-odds at {self.horizon_days} days', *others])})"

    @property
    def days(self) -> tuple[int, ...]:
        """Horizons of the cumulative incidence, ascending."""
        return tuple(self.coefficients)

    def predict_logits(self, margins: Array) -> Array:
        """Compute log-odds at every horizon, shape (n_horizons, ...), from those at the primary.

        Non-decreasing along the first axis: where two lines cross, the one nearer to
        :attr:`horizon_days` is kept.
        """
        offsets, slopes = np.array(list(self.coefficients.values())).T.reshape(
            2, -1, *[1] * margins.ndim
        )
        lines, own = offsets + slopes * margins, self.days.index(self.horizon_days)
        later = np.maximum.accumulate(lines[own:])
        earlier = np.minimum.accumulate(lines[own::-1])[::-1]
        return np.concatenate([earlier[:-1], later])

    def predict_logit(self, margins: Array, horizon_days: int) -> Array:
        """Compute log-odds at one horizon, of the same shape, from those at the primary.

        The cumulative hazard is interpolated linearly between horizons.

        Raises
        ------
        ValueError
            If the horizon exceeds the longest one, or the model has a single horizon.
        """
        if horizon_days == self.horizon_days:
            return margins
        if len(self.days) == 1:
            raise ValueError(
                f"this model has the single horizon of {self.horizon_days} days, not {horizon_days}"
            )
        if not 1 <= horizon_days <= self.days[-1]:
            raise ValueError(
                f"expected a horizon of 1 to {self.days[-1]} days, found {horizon_days}"
            )
        logits = self.predict_logits(margins)
        if horizon_days in self.coefficients:
            return np.asarray(logits[self.days.index(horizon_days)])
        upper = int(np.searchsorted(self.days, horizon_days))
        start, end = (0, *self.days)[upper : upper + 2]
        upper_hazard = _to_cumulative_hazard(logits[upper])
        lower_hazard = (
            _to_cumulative_hazard(logits[upper - 1]) if upper else np.zeros_like(upper_hazard)
        )
        share = (horizon_days - start) / (end - start)
        return _to_log_odds(lower_hazard + share * (upper_hazard - lower_hazard))


def fit_horizon_link(margin: Array, labels: Mapping[int, Array], horizon_days: int) -> HorizonLink:
    """Fit an offset and a slope for every horizon.

    Parameters
    ----------
    margin : numpy.ndarray, shape (n,)
        Out-of-bag log-odds at ``horizon_days``.
    labels : mapping of int to numpy.ndarray, shape (n,)
        Horizon in days → 1 for positive, 0 for negative, NaN while unknown.

    Returns
    -------
    HorizonLink
        Relative to the same regression at ``horizon_days`` itself, so that a bias of the margins
        there shifts no other horizon. A horizon without labels gets a constant hazard.
    """
    mean = float(margin.mean())
    centered = margin - mean
    intercept, slope = fit_line(centered, labels[horizon_days], (mean, 1.0))
    coefficients = {horizon_days: (0.0, 1.0)}
    for days in labels.keys() - coefficients.keys():
        prior_mean = (intercept + log(days / horizon_days), slope)
        offset, horizon_slope = fit_line(centered, labels[days], prior_mean)
        coefficients[days] = (offset - horizon_slope / slope * intercept, horizon_slope / slope)
    return HorizonLink(horizon_days, dict(sorted(coefficients.items())))


def fit_line(centered: Array, label: Array, prior_mean: tuple[float, float]) -> tuple[float, float]:
    """Fit intercept and slope of the log-odds on centred margins, with a Gaussian prior."""
    labelled = ~np.isnan(label)
    x, outcome, prior = centered[labelled], label[labelled], np.array(prior_mean)

    def compute_loss(line: Array) -> tuple[float, Array]:
        log_odds, deviation = line[0] + line[1] * x, line - prior
        excess = expit(log_odds) - outcome
        # Plain sums, because a multi-threaded dot product would change the last bits.
        penalized_loss = (np.logaddexp(0, log_odds) - outcome * log_odds).sum() + (
            _PRIOR_PRECISION * deviation**2
        ).sum() / 2
        return float(penalized_loss), np.array(
            [excess.sum(), (excess * x).sum()]
        ) + _PRIOR_PRECISION * deviation

    intercept, slope = minimize(
        compute_loss, prior, jac=True, method="L-BFGS-B", bounds=[(None, None), (0.1, 10.0)]
    ).x
    return float(intercept), float(slope)


def _to_cumulative_hazard(log_odds: Array) -> Array:
    """Compute the cumulative hazard −log(1 − p) from log-odds."""
    return np.asarray(np.logaddexp(0, log_odds))


def _to_log_odds(hazard: Array) -> Array:
    """Compute log-odds from a positive cumulative hazard: log(exp(hazard) − 1)."""
    return np.asarray(hazard + np.log(-np.expm1(-hazard)))
