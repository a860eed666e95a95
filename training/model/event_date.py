"""Expected expansion date and its interval, from the cumulative incidence.

Between horizons the cumulative hazard is interpolated linearly from 0. A model with one horizon has
a constant hazard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_HORIZON_DAYS", "EventDateEstimate", "estimate_event_dates"]

MAX_HORIZON_DAYS = 180
_QUANTILES = (0.1, 0.5, 0.9)
_MAX_PROBABILITY = 1 - 1e-9

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EventDateEstimate:
    """Expected day of expansion, given that it occurs within 180 days.

    ``early``, ``median`` and ``late`` are the 10 %, 50 % and 90 % quantiles of days from the as-of,
    given an expansion within 180 days; ``probability_180d`` is the probability of one.
    """

    probability_180d: Array
    early: Array
    median: Array
    late: Array

    def __repr__(self) -> str:
        if not len(self.probability_180d):
            return "EventDateEstimate(0 snapshots)"
        median, width = self.median, self.width
        return (
            f"EventDateEstimate({len(median):,} snapshots: P(T ≤ {MAX_HORIZON_DAYS})"
            f" {self.probability_180d.min():.0%} to {self.probability_180d.max():.0%};"
            f" median day {median.min():.0f} to {median.max():.0f},"
            f" intervals {width.min():.0f} to {width.max():.0f} days wide)"
        )

    @property
    def width(self) -> Array:
        """Width of the 80 % interval, in days."""
        return self.late - self.early


def estimate_event_dates(
    cumulative_incidence: Array, horizons_days: Sequence[int]
) -> EventDateEstimate:
    """Estimate the day of expansion from the cumulative incidence.

    Parameters
    ----------
    cumulative_incidence : numpy.ndarray, shape (n, n_horizons)
        P(expansion within h days), non-decreasing along each row.
    horizons_days : sequence of int, length n_horizons
        The horizons h, ascending.

    Notes
    -----
    With cumulative hazard H(t) = −log(1 − P(T ≤ t)), the q-quantile of T given T ≤ L solves
    P(T ≤ t) = q · P(T ≤ L).

    Examples
    --------
    With a small constant hazard the day is nearly uniform:

    >>> estimate = estimate_event_dates(np.array([[0.001, 0.003]]), [60, 180])
    >>> round(float(estimate.median[0])), round(float(estimate.early[0]))
    (90, 18)
    """
    days = np.array([0.0, *horizons_days])
    zero = np.zeros((len(cumulative_incidence), 1))
    hazard = np.hstack([zero, -np.log1p(-np.clip(cumulative_incidence, 0.0, _MAX_PROBABILITY))])
    if days[-1] < MAX_HORIZON_DAYS:
        rate = (hazard[:, -1] - hazard[:, -2]) / (days[-1] - days[-2])
        hazard = np.hstack(
            [hazard, (hazard[:, -1] + rate * (MAX_HORIZON_DAYS - days[-1]))[:, None]]
        )
        days = np.append(days, MAX_HORIZON_DAYS)
    # Horizons never exceed the last day.
    probability_180d = -np.expm1(-hazard[:, -1])
    early, median, late = (
        _find_crossing_day(hazard, days, -np.log1p(-quantile * probability_180d))
        for quantile in _QUANTILES
    )
    return EventDateEstimate(probability_180d, early, median, late)


def _find_crossing_day(hazard: Array, days: Array, target: Array) -> Array:
    """Find the first day on which each row's cumulative hazard reaches its target."""
    last = len(days) - 1
    step = (hazard < target[:, None]).sum(axis=1).clip(0, last)
    rows, previous = np.arange(len(hazard)), np.maximum(step - 1, 0)
    low, high = hazard[rows, previous], hazard[rows, step]
    share = np.divide(target - low, high - low, out=np.zeros(len(rows)), where=step > 0)
    return np.asarray(days[previous] + share * (days[step] - days[previous]))
