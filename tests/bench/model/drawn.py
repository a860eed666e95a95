"""Figures that are told from row numbers, on draws of accounts and cuts."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.metrics import cluster_bootstrap
from training.metrics.cluster_bootstrap import ResampleWeights

__all__ = ["Told", "intervals"]

_RESAMPLES = 200
_SEED = 7
Told = Callable[[NDArray[np.int64]], float]


def intervals(
    wanted: Mapping[str, Told], rows: pl.DataFrame, resamples: int = _RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Tell each figure with its interval, over the accounts of the rows and, where told, cuts."""
    units = cluster_bootstrap.factorize_columns(
        *(rows[name] for name in ("account_id", "cut") if name in rows)
    )
    metrics = {name: _drawn(told) for name, told in wanted.items()}
    found = cluster_bootstrap.estimate_metrics(metrics, *units, resamples=resamples, seed=_SEED)
    return {name: vars(figure) for name, figure in found.items()}


def _drawn(told: Told) -> cluster_bootstrap.Metric:
    """A drawn row counts as so many rows."""

    def metric(weights: ResampleWeights) -> NDArray[np.float64]:
        every = np.arange(weights.row.shape[1])
        drawn = (np.repeat(every, row) for row in weights.row.astype(int))
        return np.array([told(rows) if len(rows) else np.nan for rows in drawn])

    return metric
