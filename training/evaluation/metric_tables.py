"""Metric tables computed from the predictions alone, so that they are reproducible."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl

from data.config.settings import Settings
from training.evaluation import baselines
from training.evaluation.reference_models import REFERENCE_MODELS
from training.metrics import summary
from training.metrics.cluster_bootstrap import (
    Array,
    Metric,
    MetricEstimate,
    ResampleWeights,
    compute_percentile_interval,
    safe_divide,
)
from training.metrics.summary import LabelledOutcomes

__all__ = [
    "MODEL",
    "MetricTable",
    "bootstrap_options",
    "compute_lift_by_decile",
    "compute_metric_table",
    "compute_metrics_by_cutoff",
    "compute_paired_differences",
    "compute_precision_gain",
    "compute_probability_metrics",
    "compute_reference_metrics",
    "select_best_baseline",
    "select_labelled_predictions",
]

MODEL = "model"
_DECILES: Final = 10
MetricTable: TypeAlias = Mapping[str, Mapping[str, MetricEstimate]]


def select_labelled_predictions(predictions: pl.DataFrame) -> tuple[pl.DataFrame, LabelledOutcomes]:
    """Return the predictions with a known outcome, and these outcomes."""
    rows = predictions.filter(pl.col("expanded").is_not_null())
    return rows, summary.label_outcomes(rows)


def compute_metric_table(
    predictions: pl.DataFrame, settings: Settings
) -> dict[str, dict[str, MetricEstimate]]:
    """Compute the metrics of the model and of every baseline on known outcomes.

    Each cutoff has its own calibration; probabilities are pooled and ranked as they were served.
    """
    rows, outcomes = select_labelled_predictions(predictions)
    model = compute_probability_metrics(predictions, ["probability"], settings)["probability"]
    options = bootstrap_options(settings)
    return {MODEL: model} | {
        name: summary.compute_metrics(rows[name].to_numpy(), outcomes, base_rate=None, **options)
        for name in (*baselines.BASELINES, baselines.BEST_FEATURE)
    }


def compute_probability_metrics(
    predictions: pl.DataFrame, names: Iterable[str], settings: Settings
) -> dict[str, dict[str, MetricEstimate]]:
    """Compute the metrics of columns that hold probabilities, on known outcomes."""
    rows, outcomes = select_labelled_predictions(predictions)
    options, base_rate = bootstrap_options(settings), rows["base_rate"].to_numpy()
    return {
        name: summary.compute_metrics(
            rows[name].to_numpy(), outcomes, base_rate=base_rate, **options
        )
        for name in names
    }


def compute_reference_metrics(
    predictions: pl.DataFrame, settings: Settings
) -> dict[str, dict[str, MetricEstimate]]:
    """Compute the metrics of every reference model in the predictions."""
    present = [name for name in REFERENCE_MODELS if name in predictions.columns]
    return compute_probability_metrics(predictions, present, settings)


def compute_metrics_by_cutoff(
    predictions: pl.DataFrame, settings: Settings
) -> dict[date, MetricTable]:
    """Compute the metrics of model, baselines and reference models for each cutoff.

    Only accounts are resampled. Cutoffs without known outcomes are omitted; where only one class
    occurs, the metrics are null.
    """
    rows, _ = select_labelled_predictions(predictions)
    return {
        cutoff: {
            **compute_metric_table(part, settings),
            **compute_reference_metrics(part, settings),
        }
        for (cutoff,), part in rows.group_by("cutoff", maintain_order=True)
    }


def compute_paired_differences(
    predictions: pl.DataFrame, baseline: str, settings: Settings
) -> dict[str, Array]:
    """Compute the model's metrics minus a baseline's on each bootstrap replicate."""
    rows, outcomes = select_labelled_predictions(predictions)
    model_score, baseline_score = (rows[name].to_numpy() for name in ("probability", baseline))
    return summary.compute_paired_differences(
        model_score, baseline_score, outcomes, **bootstrap_options(settings)
    )


def compute_precision_gain(
    predictions: pl.DataFrame, baseline: str, settings: Settings
) -> MetricEstimate:
    """Compute the model's precision at capacity minus a baseline's, on the same replicates."""
    differences = compute_paired_differences(predictions, baseline, settings)
    return compute_percentile_interval(differences["precision_at_capacity"])


def select_best_baseline(metric_table: MetricTable) -> str:
    """Return the name of the baseline with the highest precision at capacity."""

    def get_precision(name: str) -> float:
        value = metric_table[name]["precision_at_capacity"].value
        return -1.0 if value is None else value

    return max((name for name in metric_table if name != MODEL), key=get_precision)


def bootstrap_options(settings: Settings) -> dict[str, int]:
    """Return capacity, resamples and seed, the options of the ranking metrics."""
    rules = settings.evaluation
    return {
        "capacity": rules.capacity,
        "resamples": rules.n_bootstrap,
        "seed": settings.model.seed,
    }


def compute_lift_by_decile(
    score: Array, outcomes: LabelledOutcomes, *, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Compute the expansion rate of each decile relative to the overall rate.

    Higher scores rank first, over all as-ofs together. Equal scores are spread evenly over the
    ranks they share, so the order of rows does not matter.

    The highest decile comes first: ``decile`` from 1, ``snapshots`` and ``expanded`` (fractional
    where a tie spans a boundary), ``rate``, and ``value``, ``low`` and ``high`` of the lift, a 90 %
    interval over accounts and cutoffs. Empty without snapshots.
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
