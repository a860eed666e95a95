"""The champion beside the model: what its settings would have been worth at the same cuts."""

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
    """The champion's figures, and how far the model is ahead.

    Attributes
    ----------
    note : str
        Which champion, and whether it was walked; or why it was not.
    metrics : mapping of str to training.metrics.summary.Figure
        Those of the model, of the champion's probability; empty where it was not walked, or says
        the same as the model.
    precision_gain : training.metrics.summary.Figure or None
        The model's precision at capacity less the champion's, on the same draws.
    """

    note: str
    metrics: Mapping[str, MetricEstimate] = field(default_factory=dict)
    precision_gain: MetricEstimate | None = None

    def __repr__(self) -> str:
        return f"Beside({self.note})"


def compare_with_champion(
    evaluation: EvaluationResult, champion_predictions: ChampionPredictions, settings: Settings
) -> ChampionComparison:
    """Judge what the champion would have said on what the model was judged on.

    Parameters
    ----------
    evaluation : training.evaluation.evaluate.Evaluation
        The model's walk.
    champion_predictions : training.promotion.champion.ChampionPredictions
        From :func:`training.promotion.champion.backtest_champion`.
    settings : data.config.settings.Settings
        Capacity, draws and seed.
    """
    model_predictions = evaluation.predictions
    if champion_predictions.predictions is None or champion_predictions.predictions[
        "probability"
    ].equals(model_predictions["probability"]):
        return ChampionComparison(champion_predictions.note)
    champion_probability = champion_predictions.predictions.select(*_KEYS, champion="probability")
    both = model_predictions.join(
        champion_probability, on=_KEYS, how="inner", maintain_order="left"
    )
    champion_rows = both.with_columns(probability=pl.col("champion"))
    champion_metrics = metric_tables.compute_model_metrics(champion_rows, settings)
    return ChampionComparison(
        champion_predictions.note,
        champion_metrics,
        metric_tables.compute_precision_gain(both, "champion", settings),
    )
