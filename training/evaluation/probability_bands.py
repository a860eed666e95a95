"""Bands of probability, and how often accounts in each of them did expand.

A CSM need not trust a decimal: the list says in which band an account is, and what became of the
accounts that were in it before.
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
    """The bands, lowest first."""
    between = (f"{low:.0%} to {high:.0%}" for low, high in pairwise(_EDGES))
    return (f"under {_EDGES[0]:.0%}", *between, f"{_EDGES[-1]:.0%} and more")


def assign_band(probability: pl.Series) -> pl.Series:
    """Name the band of each probability; a bound belongs to the band above it."""
    return pl.Series(
        [list_bands()[place] for place in assign_band_index(probability)], dtype=pl.String
    )


def assign_band_index(probability: pl.Series) -> pl.Series:
    """Number the bands of probabilities, from 0 for the lowest; null where there is none."""
    indices = pl.Series(np.searchsorted(_EDGES, probability.to_numpy(), side="right"))
    return pl.select(pl.when(probability.is_not_null()).then(indices)).to_series()


def compute_band_calibration(
    predictions: pl.DataFrame, *, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Say for each band what was expected and what was observed.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluation.evaluate.Evaluation`: made before their outcome was known.
    resamples : int
        Bootstrap draws of accounts and cuts, for a 90 % interval of the observed rate.
    seed : int
        Of the draws.

    Returns
    -------
    list of dict
        ``band``, ``snapshots``, ``expected`` (mean probability), ``value``, ``low`` and ``high`` of
        the share that expanded; JSON values, lowest band first, bands without a snapshot left out.
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
            *factorize_columns(rows["account_id"], rows["cut"]),
            resamples=resamples,
            seed=seed,
        )["observed"]
        expected = float(np.mean(rows["probability"].to_numpy()))
        counts = {"band": band, "snapshots": rows.height, "expected": expected}
        table.append(counts | asdict(observed))
    return table
