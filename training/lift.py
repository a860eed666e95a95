"""How much more often the top of the list expands than the rest: lift by tenth of the ranking."""

from dataclasses import asdict
from typing import Any, Final

import numpy as np

from training.metrics import Judged
from training.resampling import Array, Metric, Weights, interval, over

__all__ = ["by_decile"]

_TENTHS: Final = 10


def by_decile(score: Array, judged: Judged, *, resamples: int, seed: int) -> list[dict[str, Any]]:
    """Say for each tenth of the ranking how its rate of expansion compares with that of all.

    Equal scores are spread evenly over the places they share, so the order of rows does not matter.

    Parameters
    ----------
    score : numpy.ndarray, shape (n,)
        Higher comes first, over all as-ofs together.
    judged : training.metrics.Judged
        What became of the snapshots.
    resamples : int
        Draws of accounts and cuts, for 90 % intervals.
    seed : int
        Of the draws.

    Returns
    -------
    list of dict
        Highest tenth first: ``decile`` from 1, ``snapshots`` and ``expanded`` (not whole numbers
        where a tie lies across), ``rate``, and ``value``, ``low`` and ``high`` of the lift. None
        without a snapshot.
    """
    if not len(score):
        return []
    inside, expanded = _inside(score), judged.expanded.astype(np.float64)
    draws = judged.draws(resamples=resamples, seed=seed)
    told = []
    for tenth in range(_TENTHS):
        share = inside[:, tenth]
        size, hits = float(share.sum()), float(share @ expanded)
        lift = asdict(interval(draws.of(_lift(share, expanded))))
        counts = {"decile": tenth + 1, "snapshots": size, "expanded": hits}
        told.append(counts | {"rate": hits / size if size else None} | lift)
    return told


def _lift(share: Array, expanded: Array) -> Metric:
    def metric(weights: Weights) -> Array:
        row = weights.row
        rate = over(row @ (share * expanded), row @ share)
        return over(rate, over(row @ expanded, row.sum(axis=1)))

    return metric


def _inside(score: Array) -> Array:
    """The share of each row in each tenth, shape (n, 10): that of the places its ties take up."""
    _, group, size = np.unique(-score, return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    edges = np.linspace(0, len(score), _TENTHS + 1)
    overlap = np.minimum(last[:, None], edges[1:]) - np.maximum((last - size)[:, None], edges[:-1])
    return np.asarray((overlap.clip(0) / size[:, None])[group])
