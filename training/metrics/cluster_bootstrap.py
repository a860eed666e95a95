"""How far a figure might differ on another history like this one.

Snapshots of one account resemble each other, and so do all that one cut's model judged: whole
accounts and whole cuts are drawn, with replacement and independently of each other, and a row
counts as often as its account times as often as its cut [1]_. Two or three cuts cannot tell how
much cuts differ, and drawing them would count what accounts differ by a second time: cuts are drawn
where there are four or more. Else it is the plain bootstrap of accounts, and what cuts differ by is
not in it.

A draw is a weight per row, and its first is all ones: the history as it was. A figure maps a
stack of draws to a value for each, so that hundreds cost little more than one.

References
----------
.. [1] A. B. Owen, "The Pigeonhole Bootstrap", Annals of Applied Statistics 2007: it errs on the
       side of caution.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MIN_CUTOFF_CLUSTERS",
    "ClusterBootstrap",
    "MetricEstimate",
    "ResampleWeights",
    "compute_percentile_interval",
    "estimate_metrics",
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
_MAX_CHUNK_VALUES = 4_000_000


@dataclass(frozen=True)
class MetricEstimate:
    """A figure and its 90 % interval; null where it cannot be computed."""

    value: float | None
    low: float | None
    high: float | None

    def __repr__(self) -> str:
        return f"Figure({self})"

    def __str__(self) -> str:
        if self.value is None:
            return "n/a"
        if self.low is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class ResampleWeights:
    """How often each row is in each draw: by its account, and by its cut.

    Attributes
    ----------
    account, cutoff : numpy.ndarray, shape (n_draws, n_rows)
        Counts.
    """

    account: Array
    cutoff: Array

    @property
    def row(self) -> Array:
        """How often each row is in each draw."""
        return self.account * self.cutoff


class ClusterBootstrap:
    """Draws of accounts and of cuts; the same codes, number and seed give the same draws.

    Parameters
    ----------
    account, cut : numpy.ndarray of int, shape (n_rows,)
        Codes from 0, as of :func:`factorize_columns`; without cuts, or with few, all rows count as of one.
    resamples : int
        Draws beside the history as it was.
    seed : int
        Of the draws.
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
        """Compute a figure on every draw, the history as it was first."""
        n_replicates, n_rows = len(self._account_counts), max(len(self._account), 1)
        step = max(_MAX_CHUNK_VALUES // n_rows, 1)
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
    """Number the values of each column from 0, in their order."""
    return tuple(
        np.unique(np.asarray(column), return_inverse=True)[1].astype(np.int64) for column in columns
    )


def compute_percentile_interval(values: Array) -> MetricEstimate:
    """Give the figure and its 90 % interval from its values on all draws, the history's own first.

    A draw in which the figure does not exist (nan) has no part in the interval. It always holds the
    figure itself, which draws of repeated rows may all miss on one side.
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
    """Compute figures with 90 % intervals, all on the same draws.

    Parameters
    ----------
    metrics : mapping of str to callable
        Name → what computes the figure on a stack of draws; nan where it does not exist.
    account, cut, resamples, seed
        As for :class:`ClusterBootstrap`.

    Returns
    -------
    dict of str to Figure
        By the names given.
    """
    bootstrap = ClusterBootstrap(account, cutoff, resamples=resamples, seed=seed)
    return {
        name: compute_percentile_interval(bootstrap.evaluate(metric))
        for name, metric in metrics.items()
    }


def mean_metric(values: NDArray[np.generic], mask: NDArray[np.bool_] | None = None) -> Metric:
    """The mean over rows, or over those among them; nan where there are none."""
    included = np.ones(len(values)) if mask is None else mask.astype(np.float64)
    return ratio_metric(np.where(included > 0, values, 0).astype(np.float64), included)


def skill_metric(error: Array, reference: Array) -> Metric:
    """The share of a rival's error that is saved."""
    error_ratio = ratio_metric(error, reference)
    return lambda weights: 1 - error_ratio(weights)


def ratio_metric(numerator: Array, denominator: Array) -> Metric:
    """The ratio of two sums over rows; nan where the lower is 0."""

    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row
        return safe_divide(row @ numerator, row @ denominator)

    return compute_replicates


def safe_divide(numerator: Array, denominator: Array) -> Array:
    """Divide; nan where there is nothing to divide by."""
    return np.asarray(
        np.divide(
            numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0
        )
    )


def _draw_counts(codes: Codes, resamples: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """How often each code is drawn, after a first row of ones."""
    units = int(codes.max(initial=-1)) + 1
    if units == 0:
        return np.ones((resamples + 1, 0), dtype=np.int32)
    counts = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    return np.vstack([np.ones((1, units)), counts]).astype(np.int32)
