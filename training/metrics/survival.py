"""What the whole curve is worth, of accounts that expanded and of those still followed alike."""

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.metrics.cluster_bootstrap import (
    Array,
    Metric,
    MetricEstimate,
    ResampleWeights,
    estimate_metrics,
    factorize_columns,
    safe_divide,
)

__all__ = [
    "compute_survival_metrics",
    "concordance_index",
    "integrated_brier_score",
    "integrated_brier_skill_score",
]

_CHUNK_EVENTS = 500

BoolArray = NDArray[np.bool_]


def compute_survival_metrics(
    predictions: pl.DataFrame, *, resamples: int, seed: int
) -> dict[str, MetricEstimate]:
    """Compute every figure of the curve, with 90 % intervals over accounts and cuts.

    Parameters
    ----------
    predictions : polars.DataFrame
        As in :class:`training.evaluation.result.EvaluationResult`.
    resamples : int
        Bootstrap draws.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to Figure
        ``integrated_brier``, ``integrated_brier_skill`` and ``concordance``.
    """
    horizons = _parse_horizons(predictions)
    duration, event_observed, observed_days = (
        predictions[name].to_numpy() for name in ("days_followed", "expansion_seen", "known_days")
    )
    predicted = {h: predictions[f"within_{h}d"].to_numpy() for h in horizons}
    event = {h: event_observed & (duration < h) for h in horizons}
    # Early expansions of unfinished windows do not count: they would make every rate look high.
    labelled = {h: (observed_days >= h) & (event[h] | (duration >= h)) for h in horizons}
    metrics = {
        "integrated_brier": integrated_brier_score(predicted, event, labelled),
        "integrated_brier_skill": integrated_brier_skill_score(predicted, event, labelled),
        "concordance": concordance_index(predicted[horizons[-1]], duration, event_observed),
    }
    units = factorize_columns(predictions["account_id"], predictions["cut"])
    return estimate_metrics(metrics, *units, resamples=resamples, seed=seed)


def integrated_brier_score(
    predicted: dict[int, Array], event: dict[int, BoolArray], labelled: dict[int, BoolArray]
) -> Metric:
    """Brier score integrated over the horizons, from day 0, when it is 0 [1]_.

    By the trapezoid rule, divided by the longest horizon. At each horizon over the rows whose
    outcome is known; what is not known is so for the end of the history alone.

    Parameters
    ----------
    predicted, event, labelled : dict of int to numpy.ndarray, shape (n,)
        Horizon in days, rising → P(expansion within it), whether it came, and whether that is
        known.

    References
    ----------
    .. [1] E. Graf et al., "Assessment and Comparison of Prognostic Classification Schemes for
           Survival Data", Statistics in Medicine 1999.
    """
    errors = {h: (predicted[h] - event[h]) ** 2 * labelled[h] for h in predicted}
    quadrature_weights = _compute_trapezoid_weights(list(predicted))

    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row
        parts = [safe_divide(row @ errors[h], row @ labelled[h].astype(float)) for h in errors]
        return np.asarray(np.tensordot(quadrature_weights, parts, axes=1))

    return compute_replicates


def integrated_brier_skill_score(
    predicted: dict[int, Array], event: dict[int, BoolArray], labelled: dict[int, BoolArray]
) -> Metric:
    """Share that is saved of what the observed rate of each horizon loses, a rival in hindsight."""
    model_score, quadrature_weights = (
        integrated_brier_score(predicted, event, labelled),
        _compute_trapezoid_weights(list(predicted)),
    )

    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row
        rates = [
            safe_divide(
                row @ (event[h] & labelled[h]).astype(float), row @ labelled[h].astype(float)
            )
            for h in predicted
        ]
        reference_score = np.tensordot(
            quadrature_weights, [rate * (1 - rate) for rate in rates], axes=1
        )
        return 1 - safe_divide(model_score(weights), reference_score)

    return compute_replicates


def concordance_index(
    risk: Array, duration: NDArray[np.int64], event_observed: BoolArray
) -> Metric:
    """Chance that of two accounts the one that expanded first had the higher risk [1]_.

    A pair counts where one expanded while the other was still followed; equal risks count half.

    Parameters
    ----------
    risk : numpy.ndarray, shape (n,)
        Higher is sooner.
    duration : numpy.ndarray of int, shape (n,)
        Until the expansion, or for how long none came.
    event_observed : numpy.ndarray of bool, shape (n,)
        Whether it is the one or the other.

    References
    ----------
    .. [1] F. Harrell, K. Lee and D. Mark, "Multivariable Prognostic Models", Statistics in Medicine
           1996.
    """
    events = np.flatnonzero(event_observed)

    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row.astype(np.float32)
        concordant, pairs = np.zeros(len(row)), np.zeros(len(row))
        for first in range(0, len(events), _CHUNK_EVENTS):
            chunk = events[first : first + _CHUNK_EVENTS]
            later = duration[None, :] > duration[chunk, None]
            above = np.sign(risk[chunk, None] - risk[None, :])
            concordance_value = (later * (1 + above) / 2).astype(np.float32)
            chunk_weights = row[:, chunk]
            concordant += np.einsum(
                "de,de->d", chunk_weights, row @ concordance_value.T, dtype=np.float64
            )
            pairs += np.einsum(
                "de,de->d", chunk_weights, row @ later.T.astype(np.float32), dtype=np.float64
            )
        return safe_divide(concordant, pairs)

    return compute_replicates


def _compute_trapezoid_weights(horizons: list[int]) -> Array:
    """The trapezoid's weight of each horizon; the score is 0 on day 0."""
    days = np.array([0, *horizons])
    return np.asarray((np.append(days[2:], days[-1]) - days[:-1]) / 2 / days[-1])


def _parse_horizons(predictions: pl.DataFrame) -> list[int]:
    named = (re.fullmatch(r"within_(\d+)d", name) for name in predictions.columns)
    return sorted(int(found[1]) for found in named if found)
