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
    "differences",
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
    arr_added : numpy.ndarray, optional
        Yearly revenue that the expansion added, 0 where none came; without it none is known.
    """

    expanded: NDArray[np.bool_]
    account: Codes
    as_of: Codes
    cut: Codes | None = None
    arr_added: Array | None = None

    def draws(self, *, resamples: int, seed: int) -> Draws:
        """Draw accounts and cuts."""
        return Draws(self.account, self.cut, resamples=resamples, seed=seed)


def judged(known: pl.DataFrame) -> Judged:
    """Say what became of predictions whose outcome is known.

    Parameters
    ----------
    known : polars.DataFrame
        ``account_id``, ``as_of``, ``cut``, ``expanded``; no outcome is null. Optional is
        ``arr_added``, null where it is not known, which then counts as nothing.
    """
    account, as_of, cut = codes(*known["account_id", "as_of", "cut"])
    return Judged(known["expanded"].to_numpy(), account, as_of, cut, _arr_added(known))


def _arr_added(known: pl.DataFrame) -> Array | None:
    """What was added, where that is known of any expansion."""
    if "arr_added" not in known.columns:
        return None
    told = known.filter("expanded")["arr_added"].drop_nulls()
    return None if told.is_empty() else known["arr_added"].fill_null(0.0).to_numpy()


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
        ``auroc``, ``average_precision``, ``precision_at_capacity``, ``recall_at_capacity`` and,
        null where no revenue is known, ``arr_at_capacity``: what the worked accounts did add to
        the yearly revenue within the horizon, mean over the as-ofs. With a probability also
        ``log_loss``, ``log_loss_skill``, ``brier``, ``brier_skill``, ``calibration_error``,
        ``calibration_slope`` and ``observed_to_expected``.
    """
    drawn = _Drawn(judged, resamples, seed)
    wanted: dict[str, Callable[[], Metric]] = {
        "auroc": lambda: ranking.auroc(score, judged.expanded),
        "average_precision": lambda: ranking.average_precision(score, judged.expanded),
        "precision_at_capacity": lambda: _precision(score, judged, capacity),
        "recall_at_capacity": lambda: ranking.recall_at_capacity(
            score, judged.expanded, judged.as_of, capacity
        ),
        "arr_at_capacity": lambda: _gain(score, judged, capacity),
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
    drawn = differences(score, rival, judged, capacity=capacity, resamples=resamples, seed=seed)
    return interval(drawn["precision_at_capacity"])


def differences(
    score: Array,
    rival: Array,
    judged: Judged,
    *,
    capacity: int,
    resamples: int,
    seed: int,
) -> dict[str, Array]:
    """By how much a score is ahead of a rival on each draw, the history as it was first.

    Returns
    -------
    dict of str to numpy.ndarray, shape (1 + resamples,)
        ``precision_at_capacity`` and ``auroc``; nan where they do not exist.
    """
    drawn = _Drawn(judged, resamples, seed)
    wanted: dict[str, Callable[[Array], Metric]] = {
        "precision_at_capacity": lambda s: _precision(s, judged, capacity),
        "auroc": lambda s: ranking.auroc(s, judged.expanded),
    }

    def of(metric: Callable[[Array], Metric], values: Array) -> Array:
        return drawn.values(lambda: metric(values))

    return {name: of(metric, score) - of(metric, rival) for name, metric in wanted.items()}


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


def _gain(score: Array, judged: Judged, capacity: int) -> Metric:
    if judged.arr_added is None:
        return lambda weights: np.full(len(weights.cut), np.nan)
    return ranking.mean_gain_at_capacity(score, judged.arr_added, judged.as_of, capacity)


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
