"""Survival metrics of the cumulative incidence, with censored accounts."""

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
    "CHUNK_EVENTS",
    "compute_survival_metrics",
    "concordance_index",
    "integrated_brier_score",
    "integrated_brier_skill_score",
]

CHUNK_EVENTS = 500

BoolArray = NDArray[np.bool_]


def compute_survival_metrics(
    predictions: pl.DataFrame, *, resamples: int, seed: int
) -> dict[str, MetricEstimate]:
    """Compute the survival metrics, with 90 % intervals over accounts and cutoffs.

    These are ``integrated_brier``, ``integrated_brier_skill`` and ``concordance`` of the
    predictions in :class:`training.evaluation.result.EvaluationResult`.
    """
    horizons = _parse_horizons(predictions)
    duration, event_observed, observed_days = (
        predictions[name].to_numpy()
        for name in ("followup_days", "event_observed", "observed_days")
    )
    predicted = {h: predictions[f"within_{h}d"].to_numpy() for h in horizons}
    event = {h: event_observed & (duration < h) for h in horizons}
    # Early expansions of incomplete windows do not count; they would inflate every rate.
    labelled = {h: (observed_days >= h) & (event[h] | (duration >= h)) for h in horizons}
    metrics = {
        "integrated_brier": integrated_brier_score(predicted, event, labelled),
        "integrated_brier_skill": integrated_brier_skill_score(predicted, event, labelled),
        "concordance": concordance_index(predicted[horizons[-1]], duration, event_observed),
    }
    units = factorize_columns(predictions["account_id"], predictions["cutoff"])
    return estimate_metrics(metrics, *units, resamples=resamples, seed=seed)


def integrated_brier_score(
    predicted: dict[int, Array], event: dict[int, BoolArray], labelled: dict[int, BoolArray]
) -> Metric:
    """Integrated Brier score over the horizons, from day 0, where it is 0 [1]_.

    Trapezoidal rule, divided by the longest horizon. Each horizon uses the rows with a known
    outcome; censoring occurs only at the end of the history. The arrays hold, by horizon in days,
    ascending, P(expansion within it), the observed event, and if the label is known.

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
    """Relative reduction of the observed rate's integrated Brier score, a hindsight reference."""
    model_score = integrated_brier_score(predicted, event, labelled)
    quadrature_weights = _compute_trapezoid_weights(list(predicted))

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
    """Harrell's concordance index: P(the account that expanded first had the higher risk) [1]_.

    A pair counts if one account expanded while the other was still observed; equal risks count
    half. A higher risk is sooner; the duration is in days to the expansion, or to censoring where
    ``event_observed`` is false.

    References
    ----------
    .. [1] F. Harrell, K. Lee and D. Mark, "Multivariable Prognostic Models", Statistics in Medicine
           1996.
    """
    events = np.flatnonzero(event_observed)

    def compute_replicates(weights: ResampleWeights) -> Array:
        row = weights.row.astype(np.float32)
        concordant, pairs = np.zeros(len(row)), np.zeros(len(row))
        for first in range(0, len(events), CHUNK_EVENTS):
            chunk = events[first : first + CHUNK_EVENTS]
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
    """Compute the trapezoid weight of each horizon; the score is 0 on day 0."""
    days = np.array([0, *horizons])
    return np.asarray((np.append(days[2:], days[-1]) - days[:-1]) / 2 / days[-1])


def _parse_horizons(predictions: pl.DataFrame) -> list[int]:
    matches = (re.fullmatch(r"within_(\d+)d", name) for name in predictions.columns)
    return sorted(int(match[1]) for match in matches if match)
