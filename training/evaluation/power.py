"""How large a difference a history could have shown: else a draw is taken for a defeat."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import norm

from training.metrics.cluster_bootstrap import Array

__all__ = ["PowerAnalysis", "analyze_power", "compute_detectable_difference"]

_CONFIDENCE: Final = 0.9
_POWER: Final = 0.8


@dataclass(frozen=True)
class PowerAnalysis:
    """The least true differences from a rival that this history would have shown.

    With 80 % power, at a one-sided test of 90 % confidence; None where it cannot be told.

    Attributes
    ----------
    rival : str
        The simple ranking compared with.
    precision_at_capacity, auroc : float or None
        In shares.
    """

    rival: str
    precision_at_capacity: float | None
    auroc: float | None

    def __str__(self) -> str:
        if self.precision_at_capacity is None or self.auroc is None:
            return "How large a difference this history could have shown cannot be told."
        return (
            f"A true difference from {self.rival} of {100 * self.precision_at_capacity:.1f} points"
            f" in precision at capacity, or of {self.auroc:.3f} in AUROC, would have been found"
            f" here with {_POWER:.0%} power, at a one-sided {_CONFIDENCE:.0%} test; a smaller one"
            " may be there unseen."
        )


def analyze_power(baseline: str, differences: Mapping[str, Array]) -> PowerAnalysis:
    """Tell the power from the spread of the differences over draws.

    Parameters
    ----------
    baseline : str
        Its name.
    differences : mapping of str to numpy.ndarray
        From :func:`training.metrics.summary.compute_paired_differences`.
    """
    detectable = {
        name: compute_detectable_difference(values) for name, values in differences.items()
    }
    return PowerAnalysis(baseline, detectable["precision_at_capacity"], detectable["auroc"])


def compute_detectable_difference(values: Array) -> float | None:
    """Give the least true difference that is found with 80 % power at a one-sided 90 % test.

    It is (z₀.₉ + z₀.₈) standard errors [1]_; the standard error is the spread of the draws.

    Parameters
    ----------
    values : numpy.ndarray, shape (1 + n_draws,)
        The difference in the history as it was, and on each draw; nan where it does not exist.

    Returns
    -------
    float or None
        None from fewer than two draws.

    References
    ----------
    .. [1] J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988.

    Examples
    --------
    >>> round(compute_detectable_difference(np.array([0.1, 0.0, 0.1, 0.2])), 4)
    0.2123
    """
    replicates = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or len(replicates) < 2:
        return None
    return float((norm.ppf(_CONFIDENCE) + norm.ppf(_POWER)) * replicates.std(ddof=1))
