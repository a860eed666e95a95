"""From one horizon to the curve: an offset and a slope of the log-odds for every other horizon.

What ranks accounts is learned at one horizon, where the signal is sharpest. How much of it comes by
another day is a matter of two numbers, fitted on margins of accounts that the asked members were
not shown: what a learner has seen it is too sure of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

__all__ = ["HorizonLink", "fit_horizon_link"]

# A prior of a constant hazard and the same odds ratios: 1 / variance before the data speaks.
_PRIOR_PRECISION: Final = np.array([1.0, 5.0])  # of the offset of the mean account, of a slope

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HorizonLink:
    """How log-odds at one horizon become those at the others.

    Attributes
    ----------
    horizon_days : int
        The horizon that margins are given at.
    coefficients : mapping of int to tuple of float
        Horizon in days, rising → offset and slope of the log-odds; (0, 1) at the one above.
    """

    horizon_days: int
    coefficients: Mapping[int, tuple[float, float]]

    def __repr__(self) -> str:
        others = (
            f"{days} days {slope:.2f} m {offset:+.2f}"
            for days, (offset, slope) in self.coefficients.items()
            if days != self.horizon_days
        )
        return f"Horizons({'; '.join([f'm = log-odds at {self.horizon_days} days', *others])})"

    @property
    def days(self) -> tuple[int, ...]:
        """The horizons of the curve, rising."""
        return tuple(self.coefficients)

    def predict_logits(self, margins: Array) -> Array:
        """Log-odds at every horizon.

        Parameters
        ----------
        margins : numpy.ndarray, of any shape
            Log-odds at :attr:`horizon_days`.

        Returns
        -------
        numpy.ndarray, shape (n_horizons, ...)
            Never falling along the first axis: where two lines cross, the one nearer to
            :attr:`horizon_days` holds on.
        """
        offsets, slopes = np.array(list(self.coefficients.values())).T.reshape(
            2, -1, *[1] * margins.ndim
        )
        lines, own = offsets + slopes * margins, self.days.index(self.horizon_days)
        later = np.maximum.accumulate(lines[own:])
        earlier = np.minimum.accumulate(lines[own::-1])[::-1]
        return np.concatenate([earlier[:-1], later])

    def predict_logit(self, margins: Array, horizon_days: int) -> Array:
        """Log-odds at one horizon; between those of the curve the cumulative hazard is linear.

        Parameters
        ----------
        margins : numpy.ndarray, of any shape
            Log-odds at :attr:`horizon_days`.
        horizon_days : int
            Days, at least 1 and at most the last of the curve.

        Returns
        -------
        numpy.ndarray, of the same shape

        Raises
        ------
        ValueError
            If the curve does not reach so far, or if there is none.
        """
        if horizon_days == self.horizon_days:
            return margins
        if len(self.days) == 1:
            message = f"a plain model knows {self.horizon_days} days only"
            raise ValueError(f"{message}, not {horizon_days}")
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
        Log-odds at ``horizon_days`` by who was not shown the row.
    labels : mapping of int to numpy.ndarray, shape (n,)
        Horizon in days → 1 where it happened within it, 0 where not, NaN while that is unknown.
    horizon_days : int
        The horizon that margins are given at, among the labels.

    Returns
    -------
    HorizonLink
        Beside the same regression at ``horizon_days`` itself, so that whatever is wrong with the
        margins there moves no other horizon. A horizon of which nothing is known is given a
        constant hazard.
    """
    mean = float(margin.mean())
    centered = margin - mean
    intercept, slope = _fit_line(centered, labels[horizon_days], (mean, 1.0))
    coefficients = {horizon_days: (0.0, 1.0)}
    for days in labels.keys() - coefficients.keys():
        prior_mean = (intercept + log(days / horizon_days), slope)
        offset, horizon_slope = _fit_line(centered, labels[days], prior_mean)
        coefficients[days] = (offset - horizon_slope / slope * intercept, horizon_slope / slope)
    return HorizonLink(horizon_days, dict(sorted(coefficients.items())))


def _fit_line(
    centered: Array, label: Array, prior_mean: tuple[float, float]
) -> tuple[float, float]:
    """Level and slope of the log-odds, by how far margins are apart from the mean."""
    labelled = ~np.isnan(label)
    x, outcome, prior = centered[labelled], label[labelled], np.array(prior_mean)

    def compute_loss(line: Array) -> tuple[float, Array]:
        log_odds, deviation = line[0] + line[1] * x, line - prior
        excess = expit(log_odds) - outcome
        # Plain sums: a dot product may be split over threads, which moves the last bits.
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
    """Cumulative hazard −log(1 − p)."""
    return np.asarray(np.logaddexp(0, log_odds))


def _to_log_odds(hazard: Array) -> Array:
    """Log-odds at a cumulative hazard above 0: log(exp(hazard) − 1), also where exp overflows."""
    return np.asarray(hazard + np.log(-np.expm1(-hazard)))
