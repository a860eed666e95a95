"""Comparison of a model with the champion's settings on the same cutoffs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from data.config.settings import Settings
from training.evaluation import metric_tables
from training.evaluation.evaluate import EvaluationResult
from training.metrics.summary import MetricEstimate
from training.promotion.champion import ChampionPredictions

__all__ = ["ChampionComparison", "compare_with_champion"]

_KEYS = ["account_id", "as_of"]


@dataclass(frozen=True)
class ChampionComparison:
    """Metrics of the champion and the model's gain over it.

    Attributes
    ----------
    note : str
        The champion's version, or why it is excluded.
    metrics : mapping of str to training.metrics.cluster_bootstrap.MetricEstimate
        Metrics of the champion's probability, as for the model; empty where it was not evaluated or
        predicts the same as the model.
    precision_gain : training.metrics.cluster_bootstrap.MetricEstimate or None
        The model's precision at capacity minus the champion's, on the same bootstrap replicates.
    """

    note: str
    metrics: Mapping[str, MetricEstimate] = field(default_factory=dict)
    precision_gain: MetricEstimate | None = None

    def __repr__(self) -> str:
        return f"ChampionComparison({self.note})"


def compare_with_champion(
    evaluation: EvaluationResult, champion_predictions: ChampionPredictions, settings: Settings
) -> ChampionComparison:
    """Compute the champion's metrics on the outcomes used for the model.

    Parameters
    ----------
    evaluation : training.evaluation.result.EvaluationResult
        The model's evaluation.
    champion_predictions : training.promotion.champion.ChampionPredictions
        From :func:`training.promotion.champion.backtest_champion`.
    settings : data.config.settings.Settings
        Capacity, number of resamples and seed.
    """
    model_predictions = evaluation.predictions
    if champion_predictions.predictions is None or champion_predictions.predictions[
        "probability"
    ].equals(model_predictions["probability"]):
        return ChampionComparison(champion_predictions.note)
    champion_probability = champion_predictions.predictions.select(*_KEYS, champion="probability")
    paired = model_predictions.join(
        champion_probability, on=_KEYS, how="inner", maintain_order="left"
    )
    champion_rows = paired.with_columns(probability=pl.col("champion"))
    champion_metrics = metric_tables.compute_model_metrics(champion_rows, settings)
    return ChampionComparison(
        champion_predictions.note,
        champion_metrics,
        metric_tables.compute_precision_gain(paired, "champion", settings),
    )
