"""Confidence intervals by a two-way cluster bootstrap over accounts and cutoffs.

Snapshots of one account are correlated, and so are all predictions of one cutoff. Whole accounts
and whole cutoffs are therefore resampled, independently and with replacement; the weight of a row
is the product of both counts [1]_. Two or three cutoffs cannot show how much cutoffs differ, and
resampling them would count the variation of accounts twice. Cutoffs are resampled only if there are
four or more. Otherwise it is the plain cluster bootstrap over accounts, which ignores the variation
between cutoffs.

A replicate is a weight per row; the first one is all ones, the original sample. A metric maps a
stack of replicates to one value each, so hundreds cost little more than one.

References
----------
.. [1] A. B. Owen, "The Pigeonhole Bootstrap", Annals of Applied Statistics 2007: it is
       conservative.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_CHUNK_VALUES",
    "MIN_CUTOFF_CLUSTERS",
    "ClusterBootstrap",
    "MetricEstimate",
    "ResampleWeights",
    "compute_percentile_interval",
    "estimate_metrics",
    "evaluate_sample",
    "factorize_columns",
    "mean_metric",
    "ratio_metric",
    "safe_divide",
    "skill_metric",
]

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Metric = Callable[["ResampleWeights"], Array]
MIN_CUTOFF_CLUSTERS = 4
MAX_CHUNK_VALUES = 4_000_000


@dataclass(frozen=True)
class MetricEstimate:
    """A metric and its 90 % interval; None where undefined."""

    value: float | None
    low: float | None
    high: float | None

    def __repr__(self) -> str:
        return f"MetricEstimate({self})"

    def __str__(self) -> str:
        if self.value is None:
            return "n/a"
        if self.low is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class ResampleWeights:
    """Counts of each row's account and cutoff in each replicate, shape (n_replicates, n_rows)."""

    account: Array
    cutoff: Array

    @property
    def row(self) -> Array:
        """Weight of each row in each replicate."""
        return self.account * self.cutoff


class ClusterBootstrap:
    """Bootstrap replicates of accounts and cutoffs, reproducible by codes, number and seed.

    Codes, shape (n_rows,), are those of :func:`factorize_columns`; without cutoffs, or with few,
    all rows share one. ``resamples`` is the number of replicates besides the original sample.
    """

    def __init__(
        self, account: Codes, cutoff: Codes | None = None, *, resamples: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        single_cluster = np.zeros_like(account)
        cutoff_codes = single_cluster if cutoff is None else cutoff
        self._account = account
        self._cutoff = (
            cutoff_codes
            if int(cutoff_codes.max(initial=-1)) + 1 >= MIN_CUTOFF_CLUSTERS
            else single_cluster
        )
        self._account_counts = _draw_counts(self._account, resamples, rng)
        self._cutoff_counts = _draw_counts(self._cutoff, resamples, rng)

    def evaluate(self, metric: Metric) -> Array:
        """Compute a metric on every replicate, the original sample first."""
        n_replicates, n_rows = len(self._account_counts), max(len(self._account), 1)
        step = max(MAX_CHUNK_VALUES // n_rows, 1)
        values = [
            metric(self._select_weights(first, first + step))
            for first in range(0, n_replicates, step)
        ]
        return np.concatenate(values)

    def _select_weights(self, first: int, last: int) -> ResampleWeights:
        account = self._account_counts[first:last, self._account].astype(np.float64)
        return ResampleWeights(
            account, self._cutoff_counts[first:last, self._cutoff].astype(np.float64)
        )


def factorize_columns(*columns: object) -> tuple[Codes, ...]:
    """Encode the sorted distinct values of each column as integers from 0."""
    return tuple(
        np.unique(np.asarray(column), return_inverse=True)[1].astype(np.int64) for column in columns
    )


def compute_percentile_interval(values: Array) -> MetricEstimate:
    """Compute a metric's 90 % percentile interval from its replicates, the original sample first.

    Undefined (NaN) replicates are ignored. The interval always contains the estimate itself, which
    the replicates may all miss on one side.
    """
    value, replicates = values[0], values[1:]
    if np.isnan(value):
        return MetricEstimate(None, None, None)
    defined = replicates[~np.isnan(replicates)]
    if not len(defined):
        return MetricEstimate(float(value), None, None)
    low, high = np.quantile(defined, [0.05, 0.95])
    return MetricEstimate(float(value), float(min(low, value)), float(max(high, value)))


def estimate_metrics(
    metrics: Mapping[str, Metric],
    account: Codes,
    cutoff: Codes | None = None,
    *,
    resamples: int,
    seed: int,
) -> dict[str, MetricEstimate]:
    """Compute metrics, by name, with 90 % intervals, all on the same replicates."""
    bootstrap = ClusterBootstrap(account, cutoff, resamples=resamples, seed=seed)
    return {
        name: compute_percentile_interval(bootstrap.evaluate(metric))
        for name, metric in metrics.items()
    }


def evaluate_sample(metric: Metric, n_rows: int) -> float:
    """Compute a metric on the original sample alone."""
    ones = np.ones((1, n_rows))
    return float(metric(ResampleWeights(ones, ones))[0])


def mean_metric(values: NDArray[np.generic], mask: NDArray[np.bool_] | None = None) -> Metric:
    """Mean over rows, or over those in the mask; NaN if there are none."""
    included = np.ones(len(values)) if mask is None else mask.astype(np.float64)
    return ratio_metric(np.where(included > 0, values, 0).astype(np.float64), included)


def skill_metric(error: Array, reference: Array) -> Metric:
    """Skill: relative reduction of a reference's error."""
    error_ratio = ratio_metric(error, reference)
    return lambda weights: 1 - error_ratio(weights)


def ratio_metric(numerator: Array, denominator: Array) -> Metric:
    """Ratio of two sums over rows; NaN where the denominator is 0."""

    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row
        return safe_divide(row @ numerator, row @ denominator)

    return compute_replicates


def safe_divide(numerator: Array, denominator: Array) -> Array:
    """Divide; NaN where the denominator is not positive."""
    return np.asarray(
        np.divide(
            numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0
        )
    )


def _draw_counts(codes: Codes, resamples: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Draw how often each cluster is resampled, after a first row of ones."""
    units = int(codes.max(initial=-1)) + 1
    if units == 0:
        return np.ones((resamples + 1, 0), dtype=np.int32)
    counts = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    return np.vstack([np.ones((1, units)), counts]).astype(np.int32)
