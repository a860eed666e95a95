"""What the whole curve is worth, of accounts that expanded and of those still followed alike."""

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.resampling import Array, Figure, Metric, Weights, codes, intervals, over

__all__ = ["concordance", "figures", "integrated_brier", "integrated_brier_skill"]

_EVENTS_AT_ONCE = 500

Flags = NDArray[np.bool_]


def figures(predictions: pl.DataFrame, *, resamples: int, seed: int) -> dict[str, Figure]:
    """Compute every figure of the curve, with 90 % intervals over accounts and cuts.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluation.Evaluation`.
    resamples : int
        Bootstrap draws.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to Figure
        ``integrated_brier``, ``integrated_brier_skill`` and ``concordance``.
    """
    horizons = _horizons(predictions)
    followed, seen, known_days = (
        predictions[name].to_numpy() for name in ("days_followed", "expansion_seen", "known_days")
    )
    stated = {h: predictions[f"within_{h}d"].to_numpy() for h in horizons}
    happened = {h: seen & (followed < h) for h in horizons}
    # Early expansions of unfinished windows do not count: they would make every rate look high.
    known = {h: (known_days >= h) & (happened[h] | (followed >= h)) for h in horizons}
    wanted = {
        "integrated_brier": integrated_brier(stated, happened, known),
        "integrated_brier_skill": integrated_brier_skill(stated, happened, known),
        "concordance": concordance(stated[horizons[-1]], followed, seen),
    }
    units = codes(predictions["account_id"], predictions["cut"])
    return intervals(wanted, *units, resamples=resamples, seed=seed)


def integrated_brier(
    stated: dict[int, Array], happened: dict[int, Flags], known: dict[int, Flags]
) -> Metric:
    """Brier score integrated over the horizons, from day 0, when it is 0 [1]_.

    By the trapezoid rule, divided by the longest horizon. At each horizon over the rows whose
    outcome is known; what is not known is so for the end of the history alone.

    Parameters
    ----------
    stated, happened, known : dict of int to numpy.ndarray, shape (n,)
        Horizon in days, rising → P(expansion within it), whether it came, and whether that is
        known.

    References
    ----------
    .. [1] E. Graf et al., "Assessment and Comparison of Prognostic Classification Schemes for
           Survival Data", Statistics in Medicine 1999.
    """
    errors = {h: (stated[h] - happened[h]) ** 2 * known[h] for h in stated}
    shares = _shares(list(stated))

    def metric(weights: Weights) -> Array:
        row = weights.row
        parts = [over(row @ errors[h], row @ known[h].astype(float)) for h in errors]
        return np.asarray(np.tensordot(shares, parts, axes=1))

    return metric


def integrated_brier_skill(
    stated: dict[int, Array], happened: dict[int, Flags], known: dict[int, Flags]
) -> Metric:
    """Share that is saved of what the observed rate of each horizon loses, a rival in hindsight."""
    mine, shares = integrated_brier(stated, happened, known), _shares(list(stated))

    def metric(weights: Weights) -> Array:
        row = weights.row
        rates = [
            over(row @ (happened[h] & known[h]).astype(float), row @ known[h].astype(float))
            for h in stated
        ]
        theirs = np.tensordot(shares, [rate * (1 - rate) for rate in rates], axes=1)
        return 1 - over(mine(weights), theirs)

    return metric


def concordance(risk: Array, days: NDArray[np.int64], seen: Flags) -> Metric:
    """Chance that of two accounts the one that expanded first had the higher risk [1]_.

    A pair counts where one expanded while the other was still followed; equal risks count half.

    Parameters
    ----------
    risk : numpy.ndarray, shape (n,)
        Higher is sooner.
    days : numpy.ndarray of int, shape (n,)
        Until the expansion, or for how long none came.
    seen : numpy.ndarray of bool, shape (n,)
        Whether it is the one or the other.

    References
    ----------
    .. [1] F. Harrell, K. Lee and D. Mark, "Multivariable Prognostic Models", Statistics in Medicine
           1996.
    """
    events = np.flatnonzero(seen)

    def metric(weights: Weights) -> Array:
        row = weights.row.astype(np.float32)
        right, pairs = np.zeros(len(row)), np.zeros(len(row))
        for first in range(0, len(events), _EVENTS_AT_ONCE):
            some = events[first : first + _EVENTS_AT_ONCE]
            later = days[None, :] > days[some, None]
            above = np.sign(risk[some, None] - risk[None, :])
            won = (later * (1 + above) / 2).astype(np.float32)
            times = row[:, some]
            right += np.einsum("de,de->d", times, row @ won.T, dtype=np.float64)
            pairs += np.einsum(
                "de,de->d", times, row @ later.T.astype(np.float32), dtype=np.float64
            )
        return over(right, pairs)

    return metric


def _shares(horizons: list[int]) -> Array:
    """The trapezoid's weight of each horizon; the score is 0 on day 0."""
    days = np.array([0, *horizons])
    return np.asarray((np.append(days[2:], days[-1]) - days[:-1]) / 2 / days[-1])


def _horizons(predictions: pl.DataFrame) -> list[int]:
    named = (re.fullmatch(r"within_(\d+)d", name) for name in predictions.columns)
    return sorted(int(found[1]) for found in named if found)
