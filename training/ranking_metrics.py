"""How well a score puts first what expanded: of all rows, and within a team's capacity.

Each figure is computed on a stack of weighted draws at once; see :mod:`training.resampling`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.resampling import Array, Codes, Metric, Weights, over

__all__ = [
    "auroc",
    "average_precision",
    "mean_gain_at_capacity",
    "mean_precision_at_capacity",
    "precision_at_capacity",
    "recall_at_capacity",
    "within_capacity",
]

Flags = NDArray[np.bool_]


class _Ranked:
    """Rows from the highest score down, those of equal score as one group."""

    def __init__(self, score: Array) -> None:
        self._order = np.argsort(-score, kind="stable")
        falling = score[self._order]
        self._starts = np.flatnonzero(np.diff(falling, prepend=np.nan) != 0)

    def sums(self, weights: Array) -> Array:
        """Sums of weights per group, shape (n_draws, n_groups)."""
        return np.asarray(np.add.reduceat(weights[:, self._order], self._starts, axis=1))


def auroc(score: Array, expanded: Flags) -> Metric:
    """Chance that an account that expanded stands above one that did not; ties count half."""
    ranked = _Ranked(score)

    def metric(weights: Weights) -> Array:
        row = weights.row
        hits, misses = ranked.sums(row * expanded), ranked.sums(row * ~expanded)
        below = misses.sum(axis=1, keepdims=True) - np.cumsum(misses, axis=1)
        pairs = hits.sum(axis=1) * misses.sum(axis=1)
        return over((hits * (below + misses / 2)).sum(axis=1), pairs)

    return metric


def average_precision(score: Array, expanded: Flags) -> Metric:
    """Mean precision over the accounts that expanded, each at its own place in the ranking."""
    ranked = _Ranked(score)

    def metric(weights: Weights) -> Array:
        row = weights.row
        hits, every = ranked.sums(row * expanded), ranked.sums(row)
        precision = over(np.cumsum(hits, axis=1), np.cumsum(every, axis=1))
        return over((hits * np.nan_to_num(precision)).sum(axis=1), hits.sum(axis=1))

    return metric


def precision_at_capacity(score: Array, expanded: Flags, capacity: int) -> float:
    """Share of true expansions among the accounts a team has time to contact.

    Accounts with equal score at the cut count by their average, so the figure does not depend on
    the order of the rows [1]_.

    Parameters
    ----------
    score : numpy.ndarray, shape (n_accounts,)
        Higher comes first.
    expanded : numpy.ndarray of bool, shape (n_accounts,)
        Whether the account did expand within the horizon.
    capacity : int
        Accounts the team can contact, from 1 to ``n_accounts``.

    Returns
    -------
    float
        Expected precision, a share in [0, 1].

    Raises
    ------
    ValueError
        If ``capacity`` lies outside 1 to ``n_accounts``.

    References
    ----------
    .. [1] F. McSherry and M. Najork, "Computing Information Retrieval Performance
           Measures Efficiently in the Presence of Tied Scores", ECIR 2008.

    Examples
    --------
    >>> score = np.array([0.9, 0.4, 0.4, 0.1])
    >>> expanded = np.array([True, True, False, False])
    >>> precision_at_capacity(score, expanded, capacity=2)
    0.75
    """
    if not 1 <= capacity <= len(score):
        raise ValueError(
            f"capacity must be between 1 and the {len(score)} scored accounts, got {capacity}"
        )
    hits, worked = _worked(_Ranked(score), expanded, np.ones((1, len(score))), capacity)
    return float(hits[0] / worked[0])


def mean_precision_at_capacity(
    score: Array, expanded: Flags, as_of: Codes, capacity: int
) -> Metric:
    """Mean over the as-ofs of :func:`precision_at_capacity`; where fewer are scored, of them."""
    groups = list(_by_as_of(score, as_of))

    def metric(weights: Weights) -> Array:
        total, as_ofs = np.zeros(len(weights.cut)), np.zeros(len(weights.cut))
        for rows, ranked in groups:
            hits, worked = _worked(ranked, expanded[rows], weights.account[:, rows], capacity)
            times = weights.cut[:, rows[0]] * (worked > 0)
            total += times * np.nan_to_num(over(hits, worked))
            as_ofs += times
        return over(total, as_ofs)

    return metric


def mean_gain_at_capacity(score: Array, gain: Array, as_of: Codes, capacity: int) -> Metric:
    """Mean over the as-ofs of what the accounts within the capacity add up to; ties by average."""
    groups = list(_by_as_of(score, as_of))

    def metric(weights: Weights) -> Array:
        total, as_ofs = np.zeros(len(weights.cut)), np.zeros(len(weights.cut))
        for rows, ranked in groups:
            gained, worked = _worked(ranked, gain[rows], weights.account[:, rows], capacity)
            times = weights.cut[:, rows[0]] * (worked > 0)
            total += times * gained
            as_ofs += times
        return over(total, as_ofs)

    return metric


def within_capacity(score: Array, as_of: Codes, capacity: int) -> Array:
    """Say which rows a team works at their as-of: 1, 0, or the share of a tie there is time for."""
    share = np.zeros(len(score))
    for rows, _ in _by_as_of(score, as_of):
        value = score[rows]
        above = (value[None, :] > value[:, None]).sum(axis=1)
        tied = (value[None, :] == value[:, None]).sum(axis=1)
        share[rows] = np.clip((capacity - above) / tied, 0, 1)
    return share


def recall_at_capacity(score: Array, expanded: Flags, as_of: Codes, capacity: int) -> Metric:
    """Share of all expansions that are found within the capacity of their as-of."""
    groups = list(_by_as_of(score, as_of))

    def metric(weights: Weights) -> Array:
        found, every = np.zeros(len(weights.cut)), np.zeros(len(weights.cut))
        for rows, ranked in groups:
            account, times = weights.account[:, rows], weights.cut[:, rows[0]]
            found += times * _worked(ranked, expanded[rows], account, capacity)[0]
            every += times * (account @ expanded[rows])
        return over(found, every)

    return metric


def _worked(
    ranked: _Ranked, expanded: Flags | Array, weights: Array, capacity: int
) -> tuple[Array, Array]:
    """How many expansions are found among how many contacts, in each draw."""
    hits, every = ranked.sums(weights * expanded), ranked.sums(weights)
    above = np.cumsum(every, axis=1) - every
    share = np.clip(over(capacity - above, every), 0, 1)  # of a group, as far as there is time
    found = (hits * np.nan_to_num(share)).sum(axis=1)
    return found, np.minimum(capacity, every.sum(axis=1))


def _by_as_of(score: Array, as_of: Codes) -> Iterator[tuple[Codes, _Ranked]]:
    order = np.argsort(as_of, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(as_of[order])) + 1):
        if len(rows):
            yield rows, _Ranked(score[rows])
