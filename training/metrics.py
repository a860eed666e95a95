"""Figures of a ranking and of a probability, with intervals that respect accounts.

Snapshots of one account resemble each other, so intervals come from resampling whole accounts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

__all__ = [
    "Figure",
    "Judged",
    "advantage",
    "calibration_slope",
    "change",
    "expected_calibration_error",
    "figures",
    "intervals",
    "precision_at_capacity",
]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
_LEAST_PROBABILITY = 1e-6
_NEWTON_STEPS = 50
_SETTLED = 1e-10
_LONGEST_STEP = 2.0
_SINGULAR = 1e12
_TINY = 1e-300


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

    def __repr__(self) -> str:
        return f"Figure({self})"

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
        ``log_loss``, ``log_loss_skill``, ``brier``, ``brier_skill``, ``calibration_error``,
        ``calibration_slope`` and ``observed_to_expected``.
    """
    wanted: dict[str, Callable[[Rows], float]] = {
        "auroc": lambda i: float(roc_auc_score(judged.expanded[i], score[i])),
        "average_precision": lambda i: float(average_precision_score(judged.expanded[i], score[i])),
        "precision_at_capacity": lambda i: _per_as_of(score[i], judged, i, capacity),
    }
    if probability is not None and reference is not None:
        wanted |= _of_probability(probability, reference, judged.expanded)
    both = {name: _where_both(figure, judged) for name, figure in wanted.items()}
    return intervals(both, judged.account, resamples=resamples, seed=seed)


def intervals(
    wanted: Mapping[str, Callable[[Rows], float]],
    account: NDArray[np.int64],
    *,
    resamples: int,
    seed: int,
) -> dict[str, Figure]:
    """Compute figures, with 90 % intervals from bootstrap draws of whole accounts.

    Parameters
    ----------
    wanted : mapping of str to callable
        Name → what computes the figure from row numbers; nan where it does not exist.
    account : numpy.ndarray of int, shape (n,)
        Code of each row's account.
    resamples : int
        Draws of accounts, the same for every figure.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to Figure
        By the names given. A draw in which a figure does not exist has no part in its interval.
    """
    everything = np.arange(len(account))
    values = {name: figure(everything) for name, figure in wanted.items()}
    draws = _resampled(account, resamples, seed)
    spread = {name: [figure(rows) for rows in draws] for name, figure in wanted.items()}
    return {name: _figure(values[name], spread[name]) for name in wanted}


def advantage(
    score: Array, rival: Array, judged: Judged, *, capacity: int, resamples: int, seed: int
) -> Figure:
    """Precision at capacity of a score less that of a rival, on the same draws of accounts."""

    def gain(rows: Rows) -> float:
        mine, theirs = (_per_as_of(s[rows], judged, rows, capacity) for s in (score, rival))
        return mine - theirs

    wanted = {"gain": _where_both(gain, judged)}
    return intervals(wanted, judged.account, resamples=resamples, seed=seed)["gain"]


def change(
    before: Array, after: Array, judged: Judged, *, resamples: int, seed: int
) -> dict[str, Figure]:
    """What replacing one probability by another changes, on the same draws of accounts.

    Parameters
    ----------
    before, after : numpy.ndarray, shape (n,)
        Probabilities of the same snapshots.
    judged : Judged
        What became of them.
    resamples : int
        Bootstrap draws of accounts.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to Figure
        ``auroc``, ``average_precision`` and ``log_loss``: after less before.
    """
    expanded = judged.expanded
    scored: dict[str, Callable[[Array, Rows], float]] = {
        "auroc": lambda p, i: float(roc_auc_score(expanded[i], p[i])),
        "average_precision": lambda p, i: float(average_precision_score(expanded[i], p[i])),
        "log_loss": lambda p, i: float(log_loss(expanded[i], p[i], labels=[False, True])),
    }
    wanted = {
        name: _where_both(lambda i, of=of: of(after, i) - of(before, i), judged)  # type: ignore[misc]
        for name, of in scored.items()
    }
    return intervals(wanted, judged.account, resamples=resamples, seed=seed)


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


def calibration_slope(probability: Array, expanded: NDArray[np.bool_]) -> float:
    """Slope of the outcome's log-odds on the stated log-odds, with a free intercept [1]_.

    One is right; below one the stated probabilities are too extreme, above one too timid.

    Parameters
    ----------
    probability : numpy.ndarray, shape (n,)
        Stated, in (0, 1).
    expanded : numpy.ndarray of bool, shape (n,)
        What happened.

    Returns
    -------
    float
        The maximum of the likelihood; nan where there is none, as where all stated probabilities
        are equal or part the outcomes without error.

    References
    ----------
    .. [1] D. R. Cox, "Two Further Applications of a Model for Binary Regression", Biometrika 1958.

    Examples
    --------
    Stated odds of 1 and 9, and just so did it happen:

    >>> probability = np.repeat([0.5, 0.9], 20)
    >>> expanded = np.array([True, False] * 10 + [True] * 18 + [False] * 2)
    >>> round(calibration_slope(probability, expanded), 6)
    1.0
    """
    if len(probability) == 0 or np.ptp(probability) == 0:
        return float("nan")
    stated = logit(probability)
    middle = stated.mean()  # taken off for the sake of the arithmetic; the slope is the same
    terms = np.column_stack([np.ones_like(stated), stated - middle])
    return _newton(terms, expanded, start=np.array([middle, 1.0]))


def _newton(terms: Array, expanded: NDArray[np.bool_], start: Array) -> float:
    """Climb to the maximum of a logistic likelihood, and give the second coefficient."""
    found = start
    for _ in range(_NEWTON_STEPS):
        fitted = expit(terms @ found)
        curvature = (terms * (fitted * (1 - fitted))[:, None]).T @ terms
        if np.linalg.cond(curvature) > _SINGULAR:
            return float("nan")
        step = np.linalg.solve(curvature, terms.T @ (expanded - fitted))
        found = found + step * min(1.0, _LONGEST_STEP / np.abs(step).max(initial=_TINY))
        if np.abs(step).max() < _SETTLED:
            return float(found[1])
    return float("nan")


def _of_probability(
    probability: Array, reference: Array, expanded: NDArray[np.bool_]
) -> dict[str, Callable[[Rows], float]]:
    sure = 1 - _LEAST_PROBABILITY
    stated = probability.clip(_LEAST_PROBABILITY, sure)
    base = reference.clip(_LEAST_PROBABILITY, sure)

    def loss(p: Array, i: Rows) -> float:
        return float(log_loss(expanded[i], p[i], labels=[False, True]))

    def brier(p: Array, i: Rows) -> float:
        return float(brier_score_loss(expanded[i], p[i]))

    return {
        "log_loss": lambda i: loss(stated, i),
        "log_loss_skill": lambda i: 1 - loss(stated, i) / loss(base, i),
        "brier": lambda i: brier(stated, i),
        "brier_skill": lambda i: 1 - brier(stated, i) / brier(base, i),
        "calibration_error": lambda i: expected_calibration_error(stated[i], expanded[i]),
        "calibration_slope": lambda i: calibration_slope(stated[i], expanded[i]),
        "observed_to_expected": lambda i: float(expanded[i].mean() / stated[i].mean()),
    }


def _per_as_of(score: Array, judged: Judged, rows: Rows, capacity: int) -> float:
    """Mean precision at capacity over the as-ofs."""
    as_of, expanded = judged.as_of[rows], judged.expanded[rows]
    order = np.argsort(as_of, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(as_of[order])) + 1)
    shares = [precision_at_capacity(score[g], expanded[g], min(capacity, len(g))) for g in groups]
    return float(np.mean(shares))


def _where_both(figure: Callable[[Rows], float], judged: Judged) -> Callable[[Rows], float]:
    """The figure where both outcomes occur; otherwise it does not exist."""

    def where_both(rows: Rows) -> float:
        happened = judged.expanded[rows]
        return figure(rows) if happened.any() and not happened.all() else float("nan")

    return where_both


def _resampled(account: NDArray[np.int64], resamples: int, seed: int) -> list[Rows]:
    """Row numbers of bootstrap draws of whole accounts."""
    order = np.argsort(account, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(account[order])) + 1)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(groups), size=(resamples, len(groups)))
    return [np.concatenate([groups[g] for g in draw]) for draw in draws]


def _figure(value: float, spread: list[float]) -> Figure:
    if np.isnan(value):
        return Figure(None, None, None)
    there = [drawn for drawn in spread if not np.isnan(drawn)]
    if not there:
        return Figure(value, None, None)
    low, high = np.quantile(there, [0.05, 0.95])
    return Figure(value, float(low), float(high))
