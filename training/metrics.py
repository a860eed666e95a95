"""Every figure of a ranking and of a probability, with intervals over accounts and cuts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training import probability_metrics as truth
from training import ranking_metrics as ranking
from training.ranking_metrics import precision_at_capacity
from training.resampling import Array, Codes, Draws, Figure, Metric, codes, interval, ratio

__all__ = [
    "Figure",
    "Judged",
    "advantage",
    "change",
    "figures",
    "judged",
    "precision_at_capacity",
]


@dataclass(frozen=True)
class Judged:
    """Snapshots whose outcome is known; all arrays have one value per snapshot.

    Attributes
    ----------
    expanded : numpy.ndarray of bool
        Whether the account expanded within the horizon.
    account, as_of : numpy.ndarray of int
        Codes of the account and of the as-of, from 0.
    cut : numpy.ndarray of int, optional
        Code of the cut whose model judged it, from 0; without it all are of one.
    """

    expanded: NDArray[np.bool_]
    account: Codes
    as_of: Codes
    cut: Codes | None = None

    def draws(self, *, resamples: int, seed: int) -> Draws:
        """Draw accounts and cuts."""
        return Draws(self.account, self.cut, resamples=resamples, seed=seed)


def judged(known: pl.DataFrame) -> Judged:
    """Say what became of predictions whose outcome is known.

    Parameters
    ----------
    known : polars.DataFrame
        ``account_id``, ``as_of``, ``cut``, ``expanded``; no outcome is null.
    """
    return Judged(known["expanded"].to_numpy(), *codes(*known["account_id", "as_of", "cut"]))


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
    """Compute every figure of a score, with 90 % intervals over accounts and cuts.

    Parameters
    ----------
    score : numpy.ndarray, shape (n,)
        Higher comes first.
    judged : Judged
        What became of the snapshots.
    capacity : int
        Accounts a team can work per as-of.
    resamples : int
        Bootstrap draws.
    seed : int
        Of the draws; the same for every score, so that scores can be compared.
    probability, reference : numpy.ndarray, optional
        The score's probability, and that of the running base rate, to judge calibration and skill.

    Returns
    -------
    dict of str to Figure
        ``auroc``, ``average_precision``, ``precision_at_capacity``, ``recall_at_capacity``; with a
        probability also ``log_loss``, ``log_loss_skill``, ``brier``, ``brier_skill``,
        ``calibration_error``, ``calibration_slope`` and ``observed_to_expected``.
    """
    drawn = _Drawn(judged, resamples, seed)
    wanted: dict[str, Callable[[], Metric]] = {
        "auroc": lambda: ranking.auroc(score, judged.expanded),
        "average_precision": lambda: ranking.average_precision(score, judged.expanded),
        "precision_at_capacity": lambda: _precision(score, judged, capacity),
        "recall_at_capacity": lambda: ranking.recall_at_capacity(
            score, judged.expanded, judged.as_of, capacity
        ),
    }
    if probability is not None and reference is not None:
        stated, base, known = truth.clipped(probability), truth.clipped(reference), judged.expanded
        wanted |= {
            "log_loss": lambda: truth.log_loss(stated, known),
            "log_loss_skill": lambda: truth.log_loss_skill(stated, base, known),
            "brier": lambda: truth.brier(stated, known),
            "brier_skill": lambda: truth.brier_skill(stated, base, known),
            "calibration_error": lambda: truth.calibration_error(stated, known),
            "calibration_slope": lambda: truth.calibration_slopes(stated, known),
            "observed_to_expected": lambda: truth.observed_to_expected(stated, known),
        }
    return {name: interval(drawn.values(make)) for name, make in wanted.items()}


def advantage(
    score: Array,
    rival: Array,
    judged: Judged,
    *,
    capacity: int,
    resamples: int,
    seed: int,
) -> Figure:
    """Precision at capacity of a score less that of a rival, on the same draws."""
    drawn = _Drawn(judged, resamples, seed)
    mine, theirs = (
        drawn.values(lambda s=s: _precision(s, judged, capacity))  # type: ignore[misc]
        for s in (score, rival)
    )
    return interval(mine - theirs)


def change(
    before: Array, after: Array, judged: Judged, *, resamples: int, seed: int
) -> dict[str, Figure]:
    """What replacing one probability by another changes, on the same draws.

    Parameters
    ----------
    before, after : numpy.ndarray, shape (n,)
        Probabilities of the same snapshots.
    judged : Judged
        What became of them.
    resamples : int
        Bootstrap draws.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to Figure
        ``auroc``, ``average_precision`` and ``log_loss``: after less before.
    """
    drawn = _Drawn(judged, resamples, seed)
    expanded = judged.expanded
    wanted = {
        "auroc": ranking.auroc,
        "average_precision": ranking.average_precision,
        "log_loss": truth.log_loss,
    }

    def of(metric: Callable[[Array, NDArray[np.bool_]], Metric], probability: Array) -> Array:
        return drawn.values(lambda: metric(probability, expanded))

    return {name: interval(of(m, after) - of(m, before)) for name, m in wanted.items()}


def _precision(score: Array, judged: Judged, capacity: int) -> Metric:
    return ranking.mean_precision_at_capacity(score, judged.expanded, judged.as_of, capacity)


class _Drawn:
    """Draws, and in which of them both outcomes occur: elsewhere no figure exists."""

    def __init__(self, judged: Judged, resamples: int, seed: int) -> None:
        self._draws = judged.draws(resamples=resamples, seed=seed)
        happened = judged.expanded.astype(np.float64)
        rate = self._draws.of(ratio(happened, np.ones(len(happened))))
        self._both = (rate > 0) & (rate < 1)

    def values(self, make: Callable[[], Metric]) -> Array:
        """Compute a figure on all draws; it is not made where the history knows one outcome."""
        if not self._both[0]:
            return np.full(len(self._both), np.nan)
        return np.where(self._both, self._draws.of(make()), np.nan)
