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
    "FEWEST_CUTS",
    "Draws",
    "Figure",
    "Weights",
    "codes",
    "interval",
    "intervals",
    "mean",
    "over",
    "ratio",
    "saved",
]

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Metric = Callable[["Weights"], Array]
FEWEST_CUTS = 4
_VALUES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Figure:
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
class Weights:
    """How often each row is in each draw: by its account, and by its cut.

    Attributes
    ----------
    account, cut : numpy.ndarray, shape (n_draws, n_rows)
        Counts.
    """

    account: Array
    cut: Array

    @property
    def row(self) -> Array:
        """How often each row is in each draw."""
        return self.account * self.cut


class Draws:
    """Draws of accounts and of cuts; the same codes, number and seed give the same draws.

    Parameters
    ----------
    account, cut : numpy.ndarray of int, shape (n_rows,)
        Codes from 0, as of :func:`codes`; without cuts, or with few, all rows count as of one.
    resamples : int
        Draws beside the history as it was.
    seed : int
        Of the draws.
    """

    def __init__(
        self, account: Codes, cut: Codes | None = None, *, resamples: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        one = np.zeros_like(account)
        cuts = one if cut is None else cut
        self._account = account
        self._cut = cuts if int(cuts.max(initial=-1)) + 1 >= FEWEST_CUTS else one
        self._accounts = _counts(self._account, resamples, rng)
        self._cuts = _counts(self._cut, resamples, rng)

    def of(self, metric: Metric) -> Array:
        """Compute a figure on every draw, the history as it was first."""
        draws, rows = len(self._accounts), max(len(self._account), 1)
        step = max(_VALUES_AT_ONCE // rows, 1)
        found = [metric(self._weights(first, first + step)) for first in range(0, draws, step)]
        return np.concatenate(found)

    def _weights(self, first: int, last: int) -> Weights:
        account = self._accounts[first:last, self._account].astype(np.float64)
        return Weights(account, self._cuts[first:last, self._cut].astype(np.float64))


def codes(*columns: object) -> tuple[Codes, ...]:
    """Number the values of each column from 0, in their order."""
    return tuple(
        np.unique(np.asarray(column), return_inverse=True)[1].astype(np.int64) for column in columns
    )


def interval(values: Array) -> Figure:
    """Give the figure and its 90 % interval from its values on all draws, the history's own first.

    A draw in which the figure does not exist (nan) has no part in the interval. It always holds the
    figure itself, which draws of repeated rows may all miss on one side.
    """
    value, spread = values[0], values[1:]
    if np.isnan(value):
        return Figure(None, None, None)
    there = spread[~np.isnan(spread)]
    if not len(there):
        return Figure(float(value), None, None)
    low, high = np.quantile(there, [0.05, 0.95])
    return Figure(float(value), float(min(low, value)), float(max(high, value)))


def intervals(
    wanted: Mapping[str, Metric],
    account: Codes,
    cut: Codes | None = None,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Figure]:
    """Compute figures with 90 % intervals, all on the same draws.

    Parameters
    ----------
    wanted : mapping of str to callable
        Name → what computes the figure on a stack of draws; nan where it does not exist.
    account, cut, resamples, seed
        As for :class:`Draws`.

    Returns
    -------
    dict of str to Figure
        By the names given.
    """
    draws = Draws(account, cut, resamples=resamples, seed=seed)
    return {name: interval(draws.of(metric)) for name, metric in wanted.items()}


def mean(values: NDArray[np.generic], among: NDArray[np.bool_] | None = None) -> Metric:
    """The mean over rows, or over those among them; nan where there are none."""
    kept = np.ones(len(values)) if among is None else among.astype(np.float64)
    return ratio(np.where(kept > 0, values, 0).astype(np.float64), kept)


def saved(error: Array, rival: Array) -> Metric:
    """The share of a rival's error that is saved."""
    share = ratio(error, rival)
    return lambda weights: 1 - share(weights)


def ratio(above: Array, below: Array) -> Metric:
    """The ratio of two sums over rows; nan where the lower is 0."""

    def ratio(weights: Weights) -> Array:
        row = weights.row
        return over(row @ above, row @ below)

    return ratio


def over(above: Array, below: Array) -> Array:
    """Divide; nan where there is nothing to divide by."""
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0))


def _counts(code: Codes, resamples: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """How often each code is drawn, after a first row of ones."""
    units = int(code.max(initial=-1)) + 1
    if units == 0:
        return np.ones((resamples + 1, 0), dtype=np.int32)
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    return np.vstack([np.ones((1, units)), drawn]).astype(np.int32)
