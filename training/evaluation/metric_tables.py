"""Metric tables computed from the predictions alone, so that they are reproducible."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeAlias

import polars as pl

from data.config.settings import Settings
from training.evaluation import baseline_selection, baselines, lift, power
from training.evaluation.power import PowerAnalysis
from training.evaluation.reference_models import REFERENCE_MODELS
from training.metrics import summary
from training.metrics.cluster_bootstrap import Array
from training.metrics.summary import LabelledOutcomes, MetricEstimate

__all__ = [
    "MODEL",
    "MetricTable",
    "compute_lift_by_decile",
    "compute_metric_table",
    "compute_metrics_by_cutoff",
    "compute_model_metrics",
    "compute_power_against",
    "compute_precision_gain",
    "compute_reference_metrics",
    "select_best_baseline",
    "select_labelled_predictions",
]

MODEL = "model"
MetricTable: TypeAlias = Mapping[str, Mapping[str, MetricEstimate]]


def select_labelled_predictions(predictions: pl.DataFrame) -> tuple[pl.DataFrame, LabelledOutcomes]:
    """Return the predictions with a known outcome, and these outcomes."""
    rows = predictions.filter(pl.col("expanded").is_not_null())
    return rows, summary.label_outcomes(rows)


def compute_metric_table(
    predictions: pl.DataFrame, settings: Settings
) -> dict[str, dict[str, MetricEstimate]]:
    """Compute the metrics of the model and of every baseline on known outcomes."""
    ranking_names = (*baselines.BASELINES, baseline_selection.BEST_FEATURE)
    return {MODEL: compute_model_metrics(predictions, settings)} | _compute_ranking_metrics(
        predictions, ranking_names, settings
    )


def compute_model_metrics(
    predictions: pl.DataFrame, settings: Settings
) -> dict[str, MetricEstimate]:
    """Compute the metrics of the model's probability.

    Each cutoff has its own calibration; probabilities are pooled and ranked as they were served.
    """
    return _compute_probability_metrics(predictions, ["probability"], settings)["probability"]


def compute_reference_metrics(
    predictions: pl.DataFrame, settings: Settings
) -> dict[str, dict[str, MetricEstimate]]:
    """Compute the metrics of every reference model in the predictions."""
    present = [name for name in REFERENCE_MODELS if name in predictions.columns]
    return _compute_probability_metrics(predictions, present, settings)


def compute_metrics_by_cutoff(
    predictions: pl.DataFrame, settings: Settings
) -> dict[date, MetricTable]:
    """Compute the metrics of model, baselines and reference models for each cutoff.

    Only accounts are resampled. Cutoffs without known outcomes are omitted; where only one class
    occurs, the metrics are null.
    """
    rows, _ = select_labelled_predictions(predictions)
    return {
        cutoff: compute_metric_table(part, settings) | compute_reference_metrics(part, settings)
        for (cutoff,), part in rows.group_by("cutoff", maintain_order=True)
    }


def compute_precision_gain(
    predictions: pl.DataFrame, baseline: str, settings: Settings
) -> MetricEstimate:
    """Compute the model's precision at capacity minus a baseline's, on the same replicates."""
    rows, outcomes = select_labelled_predictions(predictions)
    return summary.compute_precision_gain(
        rows["probability"].to_numpy(),
        rows[baseline].to_numpy(),
        outcomes,
        **_bootstrap_options(settings),
    )


def compute_power_against(
    predictions: pl.DataFrame, baseline: str, settings: Settings
) -> PowerAnalysis:
    """Compute the minimum detectable difference from a baseline for these predictions."""
    rows, outcomes = select_labelled_predictions(predictions)
    model_score, baseline_score = (rows[name].to_numpy() for name in ("probability", baseline))
    return power.analyze_power(
        baseline,
        summary.compute_paired_differences(
            model_score, baseline_score, outcomes, **_bootstrap_options(settings)
        ),
    )


def compute_lift_by_decile(
    predictions: pl.DataFrame, settings: Settings
) -> list[dict[str, object]]:
    """Compute the lift of the model's probability; see :mod:`training.evaluation.lift`."""
    rows, outcomes = select_labelled_predictions(predictions)
    return lift.compute_lift_by_decile(
        rows["probability"].to_numpy(),
        outcomes,
        resamples=settings.evaluation.n_bootstrap,
        seed=settings.model.seed,
    )


def select_best_baseline(metric_table: MetricTable) -> str:
    """Return the name of the baseline with the highest precision at capacity."""

    def get_precision(name: str) -> float:
        value = metric_table[name]["precision_at_capacity"].value
        return -1.0 if value is None else value

    return max((name for name in metric_table if name != MODEL), key=get_precision)


def _compute_ranking_metrics(
    predictions: pl.DataFrame, names: Sequence[str], settings: Settings
) -> dict[str, dict[str, MetricEstimate]]:
    rows, outcomes = select_labelled_predictions(predictions)
    return {name: _compute_metrics(rows[name].to_numpy(), outcomes, settings) for name in names}


def _compute_probability_metrics(
    predictions: pl.DataFrame, names: Sequence[str], settings: Settings
) -> dict[str, dict[str, MetricEstimate]]:
    rows, outcomes = select_labelled_predictions(predictions)
    base = rows["base_rate"].to_numpy()
    return {
        name: _compute_metrics(rows[name].to_numpy(), outcomes, settings, base) for name in names
    }


def _compute_metrics(
    score: Array, outcomes: LabelledOutcomes, settings: Settings, base_rate: Array | None = None
) -> dict[str, MetricEstimate]:
    """Compute the metrics of a ranking, and those of a probability where a base rate is given."""
    return summary.compute_metrics(
        score,
        outcomes,
        capacity=settings.evaluation.capacity,
        resamples=settings.evaluation.n_bootstrap,
        seed=settings.model.seed,
        probability=None if base_rate is None else score,
        reference=base_rate,
    )


def _bootstrap_options(settings: Settings) -> dict[str, int]:
    rules = settings.evaluation
    return {
        "capacity": rules.capacity,
        "resamples": rules.n_bootstrap,
        "seed": settings.model.seed,
    }
