"""Statistical power: the minimum detectable difference of a history."""

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
    """Minimum detectable differences from a baseline.

    With 80 % power, in a one-sided test at 90 % confidence; shares, None where undefined.
    """

    baseline: str
    precision_at_capacity: float | None
    auroc: float | None

    def __str__(self) -> str:
        if self.precision_at_capacity is None or self.auroc is None:
            return "The minimum detectable difference of this history is undefined."
        return (
            f"Minimum detectable difference from {self.baseline}:"
            f" {100 * self.precision_at_capacity:.1f} points of precision at capacity, or"
            f" {self.auroc:.3f} of AUROC, at {_POWER:.0%} power in a one-sided"
            f" {_CONFIDENCE:.0%} test; a smaller difference may be missed."
        )


def analyze_power(baseline: str, differences: Mapping[str, Array]) -> PowerAnalysis:
    """Compute the power from :func:`training.metrics.summary.compute_paired_differences`."""
    detectable = {
        name: compute_detectable_difference(values) for name, values in differences.items()
    }
    return PowerAnalysis(baseline, detectable["precision_at_capacity"], detectable["auroc"])


def compute_detectable_difference(values: Array) -> float | None:
    """Compute the minimum detectable difference at 80 % power in a one-sided 90 % test.

    It is (z₀.₉ + z₀.₈) standard errors [1]_; the standard error is the spread of the replicates.

    ``values`` holds the difference on the original sample, then on each replicate; NaN where
    undefined. With fewer than two replicates the result is None.

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
