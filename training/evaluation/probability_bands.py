"""Probability bands and their observed expansion rates.

The list shows a CSM the band of an account and how often past accounts in that band expanded.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from training.metrics.cluster_bootstrap import estimate_metrics, factorize_columns, mean_metric

__all__ = ["assign_band", "assign_band_index", "compute_band_calibration", "list_bands"]

_EDGES: Final = (0.02, 0.05, 0.1, 0.2, 0.4)


def list_bands() -> Sequence[str]:
    """Return the band names, lowest first."""
    between = (f"{low:.0%} to {high:.0%}" for low, high in pairwise(_EDGES))
    return (f"under {_EDGES[0]:.0%}", *between, f"{_EDGES[-1]:.0%} and more")


def assign_band(probability: pl.Series) -> pl.Series:
    """Return the band name of each probability; a boundary belongs to the band above it."""
    return pl.Series(
        [list_bands()[index] for index in assign_band_index(probability)], dtype=pl.String
    )


def assign_band_index(probability: pl.Series) -> pl.Series:
    """Return the band index of each probability, 0 for the lowest; null for a null probability."""
    indices = pl.Series(np.searchsorted(_EDGES, probability.to_numpy(), side="right"))
    return pl.select(pl.when(probability.is_not_null()).then(indices)).to_series()


def compute_band_calibration(
    predictions: pl.DataFrame, *, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Compute the expected and the observed rate of each band.

    The predictions, as in :class:`training.evaluation.result.EvaluationResult`, were made before
    their outcome was known. Each band has ``band``, ``snapshots``, ``expected`` (mean probability),
    ``value``, ``low`` and ``high`` of the observed rate, a 90 % interval; JSON values, lowest band
    first, empty bands omitted.
    """
    labelled = predictions.filter(pl.col("expanded").is_not_null())
    banded = labelled.with_columns(band=assign_band(labelled["probability"]))
    table = []
    for band in list_bands():
        rows = banded.filter(pl.col("band") == band)
        if rows.is_empty():
            continue
        observed = estimate_metrics(
            {"observed": mean_metric(rows["expanded"].to_numpy())},
            *factorize_columns(rows["account_id"], rows["cutoff"]),
            resamples=resamples,
            seed=seed,
        )["observed"]
        expected = float(np.mean(rows["probability"].to_numpy()))
        counts = {"band": band, "snapshots": rows.height, "expected": expected}
        table.append(counts | asdict(observed))
    return table
