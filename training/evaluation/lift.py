"""Lift by decile of the ranking."""

from dataclasses import asdict
from typing import Any, Final

import numpy as np

from training.metrics.cluster_bootstrap import (
    Array,
    Metric,
    ResampleWeights,
    compute_percentile_interval,
    safe_divide,
)
from training.metrics.summary import LabelledOutcomes

__all__ = ["compute_lift_by_decile"]

_DECILES: Final = 10


def compute_lift_by_decile(
    score: Array, outcomes: LabelledOutcomes, *, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Compute the expansion rate of each decile relative to the overall rate.

    Equal scores are spread evenly over the ranks they share, so the order of rows does not matter.

    Higher scores rank first, over all as-ofs together.

    Returns
    -------
    list of dict
        Highest decile first: ``decile`` from 1, ``snapshots`` and ``expanded`` (fractional where a
        tie spans a boundary), ``rate``, and ``value``, ``low`` and ``high`` of the lift, a
        90 % interval over accounts and cutoffs. Empty
        without snapshots.
    """
    if not len(score):
        return []
    decile_shares, expanded = _compute_decile_shares(score), outcomes.expanded.astype(np.float64)
    bootstrap = outcomes.bootstrap(resamples=resamples, seed=seed)
    table = []
    for decile in range(_DECILES):
        share = decile_shares[:, decile]
        size, hits = float(share.sum()), float(share @ expanded)
        lift = asdict(
            compute_percentile_interval(bootstrap.evaluate(_make_lift_metric(share, expanded)))
        )
        counts = {"decile": decile + 1, "snapshots": size, "expanded": hits}
        table.append(counts | {"rate": hits / size if size else None} | lift)
    return table


def _make_lift_metric(share: Array, expanded: Array) -> Metric:
    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row
        rate = safe_divide(row @ (share * expanded), row @ share)
        return safe_divide(rate, safe_divide(row @ expanded, row.sum(axis=1)))

    return compute_replicates


def _compute_decile_shares(score: Array) -> Array:
    """Compute the share of each row in each decile, shape (n, 10), by the ranks its ties span."""
    _, group, size = np.unique(-score, return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    edges = np.linspace(0, len(score), _DECILES + 1)
    overlap = np.minimum(last[:, None], edges[1:]) - np.maximum((last - size)[:, None], edges[:-1])
    return np.asarray((overlap.clip(0) / size[:, None])[group])
