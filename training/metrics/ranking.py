"""Ranking metrics: over all rows, and within a team's capacity.

Each metric is computed on a stack of weighted replicates; see
:mod:`training.metrics.cluster_bootstrap`.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from training.metrics.cluster_bootstrap import Array, Codes, Metric, ResampleWeights, safe_divide

__all__ = [
    "auroc",
    "average_precision",
    "compute_capacity_share",
    "mean_gain_at_capacity",
    "mean_precision_at_capacity",
    "precision_at_capacity",
    "recall_at_capacity",
]

BoolArray = NDArray[np.bool_]


class _TiedRanking:
    """Rows by descending score, with ties grouped."""

    def __init__(self, score: Array) -> None:
        self._order = np.argsort(-score, kind="stable")
        falling = score[self._order]
        self._starts = np.flatnonzero(np.diff(falling, prepend=np.nan) != 0)

    def sum_groups(self, weights: Array) -> Array:
        """Sum weights per group, shape (n_replicates, n_groups)."""
        return np.asarray(np.add.reduceat(weights[:, self._order], self._starts, axis=1))


def auroc(score: Array, expanded: BoolArray) -> Metric:
    """Area under the ROC curve; ties count half."""
    ranked = _TiedRanking(score)

    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row
        hits, misses = ranked.sum_groups(row * expanded), ranked.sum_groups(row * ~expanded)
        below = misses.sum(axis=1, keepdims=True) - np.cumsum(misses, axis=1)
        pairs = hits.sum(axis=1) * misses.sum(axis=1)
        return safe_divide((hits * (below + misses / 2)).sum(axis=1), pairs)

    return compute_replicates


def average_precision(score: Array, expanded: BoolArray) -> Metric:
    """Average precision: mean precision at the rank of each account that expanded."""
    ranked = _TiedRanking(score)

    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row
        hits, every = ranked.sum_groups(row * expanded), ranked.sum_groups(row)
        precision = safe_divide(np.cumsum(hits, axis=1), np.cumsum(every, axis=1))
        return safe_divide((hits * np.nan_to_num(precision)).sum(axis=1), hits.sum(axis=1))

    return compute_replicates


def precision_at_capacity(score: Array, expanded: BoolArray, capacity: int) -> float:
    """Share of true expansions among the accounts a team has time to contact.

    Accounts with equal score at the threshold count by their average, so the value does not depend
    on the order of the rows [1]_.

    Parameters
    ----------
    score : numpy.ndarray, shape (n_accounts,)
        Higher ranks first.
    expanded : numpy.ndarray of bool, shape (n_accounts,)
        True where the account expanded within the horizon.
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
    hits, contacted = _count_within_capacity(
        _TiedRanking(score), expanded, np.ones((1, len(score))), capacity
    )
    return float(hits[0] / contacted[0])


def mean_precision_at_capacity(
    score: Array, expanded: BoolArray, as_of: Codes, capacity: int
) -> Metric:
    """Mean of :func:`precision_at_capacity` over the as-ofs; smaller ones use all accounts."""
    return _mean_over_as_ofs(
        score,
        expanded,
        as_of,
        capacity,
        lambda hits, contacted: np.nan_to_num(safe_divide(hits, contacted)),
    )


def mean_gain_at_capacity(score: Array, revenue: Array, as_of: Codes, capacity: int) -> Metric:
    """Mean over the as-ofs of the summed gain within capacity; ties count by average."""
    return _mean_over_as_ofs(score, revenue, as_of, capacity, lambda gained, _: gained)


def _mean_over_as_ofs(
    score: Array,
    values: BoolArray | Array,
    as_of: Codes,
    capacity: int,
    summarize: Callable[[Array, Array], Array],
) -> Metric:
    """Mean over the as-ofs of a summary of the values and contacts within capacity."""
    groups = list(_group_by_as_of(score, as_of))

    def compute_replicates(weights: ResampleWeights) -> Array:
        total, as_ofs = np.zeros(len(weights.cutoff)), np.zeros(len(weights.cutoff))
        for rows, ranked in groups:
            within, contacted = _count_within_capacity(
                ranked, values[rows], weights.account[:, rows], capacity
            )
            times = weights.cutoff[:, rows[0]] * (contacted > 0)
            total += times * summarize(within, contacted)
            as_ofs += times
        return safe_divide(total, as_ofs)

    return compute_replicates


def compute_capacity_share(score: Array, as_of: Codes, capacity: int) -> Array:
    """Compute the fraction of each row within capacity; ties share the remaining capacity."""
    share = np.zeros(len(score))
    for rows, _ in _group_by_as_of(score, as_of):
        value = score[rows]
        above = (value[None, :] > value[:, None]).sum(axis=1)
        tied = (value[None, :] == value[:, None]).sum(axis=1)
        share[rows] = np.clip((capacity - above) / tied, 0, 1)
    return share


def recall_at_capacity(score: Array, expanded: BoolArray, as_of: Codes, capacity: int) -> Metric:
    """Share of all expansions that are within the capacity of their as-of."""
    groups = list(_group_by_as_of(score, as_of))

    def compute_replicates(weights: ResampleWeights) -> Array:
        hits, total = np.zeros(len(weights.cutoff)), np.zeros(len(weights.cutoff))
        for rows, ranked in groups:
            account, times = weights.account[:, rows], weights.cutoff[:, rows[0]]
            hits += times * _count_within_capacity(ranked, expanded[rows], account, capacity)[0]
            total += times * (account @ expanded[rows])
        return safe_divide(hits, total)

    return compute_replicates


def _count_within_capacity(
    ranked: _TiedRanking, expanded: BoolArray | Array, weights: Array, capacity: int
) -> tuple[Array, Array]:
    """Count expansions and contacts within capacity in each replicate."""
    hits, size = ranked.sum_groups(weights * expanded), ranked.sum_groups(weights)
    above = np.cumsum(size, axis=1) - size
    # Fraction of a tied group within capacity.
    share = np.clip(safe_divide(capacity - above, size), 0, 1)
    hits_within = (hits * np.nan_to_num(share)).sum(axis=1)
    return hits_within, np.minimum(capacity, size.sum(axis=1))


def _group_by_as_of(score: Array, as_of: Codes) -> Iterator[tuple[Codes, _TiedRanking]]:
    order = np.argsort(as_of, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(as_of[order])) + 1):
        if len(rows):
            yield rows, _TiedRanking(score[rows])
