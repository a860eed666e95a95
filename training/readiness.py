"""From the curve to a date: when an expansion conversation is timely, and how sure that is.

Between horizons the cumulative hazard is interpolated linearly from 0. A model of one horizon is
read with a constant hazard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONGEST_DAYS", "Dates", "dates"]

LONGEST_DAYS = 180
_QUANTILES = (0.1, 0.5, 0.9)
_SUREST = 1 - 1e-9

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Dates:
    """When the expansion is expected, given that it comes within 180 days.

    Attributes
    ----------
    within : numpy.ndarray, shape (n,)
        P(expansion within 180 days).
    early, median, late : numpy.ndarray, shape (n,)
        10 %, 50 % and 90 % quantile of days from the as-of, given that it comes.
    """

    within: Array
    early: Array
    median: Array
    late: Array

    def __repr__(self) -> str:
        if not len(self.within):
            return "Dates(of no snapshot)"
        median, width = self.median, self.width
        return (
            f"Dates(of {len(median):,} snapshots: P(T ≤ {LONGEST_DAYS}) {self.within.min():.0%} to"
            f" {self.within.max():.0%}; median day {median.min():.0f} to {median.max():.0f},"
            f" intervals {width.min():.0f} to {width.max():.0f} days wide)"
        )

    @property
    def width(self) -> Array:
        """Width of the 80 % interval, in days."""
        return self.late - self.early


def dates(curve: Array, horizons_days: Sequence[int]) -> Dates:
    """Read the expected day of expansion off the curve.

    Parameters
    ----------
    curve : numpy.ndarray, shape (n, n_horizons)
        P(expansion within h days), rising along each row.
    horizons_days : sequence of int, length n_horizons
        The rising horizons h.

    Returns
    -------
    Dates
        Days from the as-of, with the probability they are conditioned on.

    Notes
    -----
    With cumulative hazard H(t) = −log(1 − P(T ≤ t)), the q-quantile of T given T ≤ L solves
    P(T ≤ t) = q · P(T ≤ L).

    Examples
    --------
    A constant hazard so small that the day is all but uniform:

    >>> found = dates(np.array([[0.001, 0.003]]), [60, 180])
    >>> round(float(found.median[0])), round(float(found.early[0]))
    (90, 18)
    """
    days = np.array([0.0, *horizons_days])
    zero = np.zeros((len(curve), 1))
    hazard = np.hstack([zero, -np.log1p(-np.clip(curve, 0.0, _SUREST))])
    if days[-1] < LONGEST_DAYS:
        rate = (hazard[:, -1] - hazard[:, -2]) / (days[-1] - days[-2])
        hazard = np.hstack([hazard, (hazard[:, -1] + rate * (LONGEST_DAYS - days[-1]))[:, None]])
        days = np.append(days, LONGEST_DAYS)
    # No horizon lies beyond the last day.
    within = -np.expm1(-hazard[:, -1])
    early, median, late = (
        _crossing(hazard, days, -np.log1p(-quantile * within)) for quantile in _QUANTILES
    )
    return Dates(within, early, median, late)


def _crossing(hazard: Array, days: Array, level: Array) -> Array:
    """First day on which each row's hazard reaches its level; where flat, the earliest such day."""
    last = len(days) - 1
    step = (hazard < level[:, None]).sum(axis=1).clip(0, last)
    rows, before = np.arange(len(hazard)), np.maximum(step - 1, 0)
    low, high = hazard[rows, before], hazard[rows, step]
    share = np.divide(level - low, high - low, out=np.zeros(len(rows)), where=step > 0)
    return np.asarray(days[before] + share * (days[step] - days[before]))
