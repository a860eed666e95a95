"""Figures of a ranking and of a probability, with intervals that respect accounts.

Snapshots of one account resemble each other, so intervals come from resampling whole accounts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

__all__ = [
    "Figure",
    "Judged",
    "advantage",
    "expected_calibration_error",
    "figures",
    "precision_at_capacity",
]

Array = NDArray[np.float64]
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Judged:
    """Scores whose outcome is known; all arrays have one value per snapshot.

    Attributes
    ----------
    expanded : numpy.ndarray of bool
        Whether the account expanded within the horizon.
    account, as_of : numpy.ndarray of int
        Codes of the account and of the as-of.
    """

    expanded: NDArray[np.bool_]
    account: NDArray[np.int64]
    as_of: NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """A figure and its 90 % interval; null where it cannot be computed."""

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.value is None:
            return "n/a"
        if self.low is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def figures(
    score: Array,
    judged: Judged,
    *,
    capacity: int,
    resamples: int,
    seed: int,
    probability: Array | None = None,
    reference: Array | None = None,
) -> dict[str, Figure]:
    """Compute every figure of a score, with 90 % intervals clustered by account.

    Parameters
    ----------
    score : numpy.ndarray, shape (n,)
        Higher comes first.
    judged : Judged
        What became of the snapshots.
    capacity : int
        Accounts a team can work per as-of.
    resamples : int
        Bootstrap draws of accounts.
    seed : int
        Of the draws; the same for every score, so that scores can be compared.
    probability, reference : numpy.ndarray, optional
        The score's probability, and that of the running base rate, to judge calibration and skill.

    Returns
    -------
    dict of str to Figure
        ``auroc``, ``average_precision``, ``precision_at_capacity``; with a probability also
        ``log_loss``, ``log_loss_skill``, ``brier``, ``calibration_error`` and
        ``observed_to_expected``.
    """
    wanted: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "auroc": lambda i: float(roc_auc_score(judged.expanded[i], score[i])),
        "average_precision": lambda i: float(average_precision_score(judged.expanded[i], score[i])),
        "precision_at_capacity": lambda i: _per_as_of(score[i], judged, i, capacity),
    }
    if probability is not None and reference is not None:
        wanted |= _of_probability(probability, reference, judged.expanded)
    everything = np.arange(len(score))
    values = {name: _or_none(f, judged, everything) for name, f in wanted.items()}
    draws = _resampled(judged.account, resamples, seed)
    spread: dict[str, list[float]] = {name: [] for name in wanted}
    for rows in draws:
        for name, figure in wanted.items():
            value = _or_none(figure, judged, rows)
            if value is not None:
                spread[name].append(value)
    return {name: _figure(values[name], spread[name]) for name in wanted}


def advantage(
    score: Array, rival: Array, judged: Judged, *, capacity: int, resamples: int, seed: int
) -> Figure:
    """Precision at capacity of a score less that of a rival, on the same draws of accounts."""

    def gain(rows: NDArray[np.int64]) -> float:
        mine, theirs = (_per_as_of(s[rows], judged, rows, capacity) for s in (score, rival))
        return mine - theirs

    draws = _resampled(judged.account, resamples, seed)
    spread = [value for rows in draws if (value := _or_none(gain, judged, rows)) is not None]
    return _figure(_or_none(gain, judged, np.arange(len(score))), spread)


def precision_at_capacity(score: Array, expanded: NDArray[np.bool_], capacity: int) -> float:
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
    cut = np.partition(score, -capacity)[-capacity]
    above, tied = score > cut, score == cut
    hits = expanded[above].sum() + (capacity - above.sum()) * expanded[tied].mean()
    return float(hits / capacity)


def expected_calibration_error(
    probability: Array, expanded: NDArray[np.bool_], bins: int = 10
) -> float:
    """Mean absolute gap between stated and observed rate, over bins of equal size.

    Accounts of equal probability count by their average, so the figure does not depend on the
    order of the rows.
    """
    _, code, ties = np.unique(probability, return_inverse=True, return_counts=True)
    observed = (np.bincount(code, weights=expanded) / ties)[code]
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(probability[part].mean() - observed[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(probability))


def _of_probability(
    probability: Array, reference: Array, expanded: NDArray[np.bool_]
) -> dict[str, Callable[[NDArray[np.int64]], float]]:
    sure = 1 - _LEAST_PROBABILITY
    stated = probability.clip(_LEAST_PROBABILITY, sure)
    base = reference.clip(_LEAST_PROBABILITY, sure)

    def loss(p: Array, i: NDArray[np.int64]) -> float:
        return float(log_loss(expanded[i], p[i], labels=[False, True]))

    return {
        "log_loss": lambda i: loss(stated, i),
        "log_loss_skill": lambda i: 1 - loss(stated, i) / loss(base, i),
        "brier": lambda i: float(brier_score_loss(expanded[i], stated[i])),
        "calibration_error": lambda i: expected_calibration_error(stated[i], expanded[i]),
        "observed_to_expected": lambda i: float(expanded[i].mean() / stated[i].mean()),
    }


def _per_as_of(score: Array, judged: Judged, rows: NDArray[np.int64], capacity: int) -> float:
    """Mean precision at capacity over the as-ofs."""
    as_of, expanded = judged.as_of[rows], judged.expanded[rows]
    order = np.argsort(as_of, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(as_of[order])) + 1)
    shares = [precision_at_capacity(score[g], expanded[g], min(capacity, len(g))) for g in groups]
    return float(np.mean(shares))


def _or_none(
    figure: Callable[[NDArray[np.int64]], float], judged: Judged, rows: NDArray[np.int64]
) -> float | None:
    """Compute a figure where both outcomes occur; otherwise it does not exist."""
    happened = judged.expanded[rows]
    return figure(rows) if happened.any() and not happened.all() else None


def _resampled(account: NDArray[np.int64], resamples: int, seed: int) -> list[NDArray[np.int64]]:
    """Row numbers of bootstrap draws of whole accounts."""
    order = np.argsort(account, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(account[order])) + 1)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(groups), size=(resamples, len(groups)))
    return [np.concatenate([groups[g] for g in draw]) for draw in draws]


def _figure(value: float | None, spread: list[float]) -> Figure:
    if value is None or not spread:
        return Figure(value, None, None)
    low, high = np.quantile(spread, [0.05, 0.95])
    return Figure(value, float(low), float(high))
