"""Bootstrap intervals of metrics that are functions of row numbers, by account and cutoff."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.metrics import cluster_bootstrap
from training.metrics.cluster_bootstrap import ResampleWeights

__all__ = ["RowMetric", "estimate_intervals"]

_RESAMPLES = 200
_SEED = 7
RowMetric = Callable[[NDArray[np.int64]], float]


def estimate_intervals(
    metrics_by_name: Mapping[str, RowMetric], rows: pl.DataFrame, resamples: int = _RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Estimate each metric with its interval over the accounts and, if present, cutoffs."""
    units = cluster_bootstrap.factorize_columns(
        *(rows[name] for name in ("account_id", "cutoff") if name in rows)
    )
    resampled = {name: _as_bootstrap_metric(function) for name, function in metrics_by_name.items()}
    estimates = cluster_bootstrap.estimate_metrics(
        resampled, *units, resamples=resamples, seed=_SEED
    )
    return {name: vars(estimate) for name, estimate in estimates.items()}


def _as_bootstrap_metric(function: RowMetric) -> cluster_bootstrap.Metric:
    """Adapt a function of row numbers: a row with weight n is repeated n times."""

    def evaluate_replicates(weights: ResampleWeights) -> NDArray[np.float64]:
        row_numbers = np.arange(weights.row.shape[1])
        replicates = (np.repeat(row_numbers, row) for row in weights.row.astype(int))
        return np.array([function(rows) if len(rows) else np.nan for rows in replicates])

    return evaluate_replicates
