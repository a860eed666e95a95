"""Champion/challenger: evaluate the champion's settings on the same cutoffs as a new model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
from pydantic import ValidationError

from data.config.settings import ModelConfig, Settings
from data.errors import HistoryError
from features.catalogue import FEATURES_BY_NAME
from training.evaluation import evaluate, metric_tables
from training.evaluation.evaluate import EvaluationResult
from training.metrics.cluster_bootstrap import MetricEstimate
from training.model.propensity import INPUTS
from training.promotion import gate
from training.promotion.gate import GateDecision

__all__ = [
    "Champion",
    "ChampionComparison",
    "ChampionPredictions",
    "backtest_champion",
    "compare_with_champion",
    "decide_promotion",
    "decision_to_dict",
]


@dataclass(frozen=True)
class Champion:
    """Version and model card of the champion, or the reason why the card cannot be read."""

    version: str
    card: Mapping[str, Any] | None
    unavailable_reason: str = ""


@dataclass(frozen=True)
class ChampionPredictions:
    """Walk-forward predictions of the champion's settings; None where it cannot be evaluated.

    The columns are ``account_id``, ``as_of`` and ``probability``. The note is a sentence: the
    champion's version, or why it is excluded.
    """

    predictions: pl.DataFrame | None
    note: str


def decide_promotion(
    predictions: pl.DataFrame,
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    end: datetime,
    champion: Champion | None,
    progress: Callable[[int, int], None] | None = None,
) -> GateDecision:
    """Decide whether a model may be promoted, compared with the champion where there is one.

    The predictions are the walk-forward predictions of the new model; the other parameters are
    those of :func:`backtest_champion`.
    """
    if champion is None:
        return gate.evaluate_gate(predictions, settings)
    champion_predictions = backtest_champion(
        champion, predictions, snapshots, contracts, settings, end=end, progress=progress
    )
    return gate.evaluate_gate(
        predictions,
        settings,
        champion=champion_predictions.predictions,
        notes=[champion_predictions.note],
    )


def decision_to_dict(decision: GateDecision, champion: Champion | None) -> dict[str, Any]:
    """Return a decision as JSON values, with the version of the champion it was compared with."""
    return decision.to_dict() | {"champion": None if champion is None else champion.version}


def backtest_champion(
    champion: Champion,
    predictions: pl.DataFrame,
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    end: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> ChampionPredictions:
    """Run walk-forward validation of the champion's settings on the cutoffs of the new model.

    The predictions of the new model are reused where its settings equal the champion's. The rest is
    as for :func:`training.evaluation.evaluate.evaluate_walk_forward`, with the settings of the new
    model.
    """
    champion_name = f"Champion version {champion.version}"

    def exclude(reason: str) -> ChampionPredictions:
        return ChampionPredictions(
            None, f"{champion_name} is excluded from the comparison: {reason}"
        )

    keys = ("account_id", "as_of", "probability")
    if champion.card is None:
        return exclude(champion.unavailable_reason)
    current_features = {name: FEATURES_BY_NAME[name].unit for name in INPUTS}
    if champion.card.get("features") != current_features:
        return exclude("it was trained on features that differ from this catalogue.")
    try:
        champion_settings = ModelConfig(**champion.card["settings"])
    except (KeyError, TypeError, ValidationError):
        return exclude("its settings are not valid in this version.")
    if champion_settings == settings.model:
        note = f"{champion_name} has the same settings and therefore the same predictions."
        return ChampionPredictions(predictions.select(keys), note)
    changed = settings.model_copy(update={"model": champion_settings})
    try:
        evaluation = evaluate.evaluate_walk_forward(
            snapshots, contracts, changed, end=end, progress=progress, reference_models={}
        )
    except HistoryError as error:
        return exclude(str(error))
    return ChampionPredictions(
        evaluation.predictions.select(keys), f"{champion_name} was evaluated on the same cutoffs."
    )


@dataclass(frozen=True)
class ChampionComparison:
    """Metrics of the champion and the model's gain over it.

    The note is the champion's version, or why it is excluded. The metrics are those of its
    probability, empty where it was not evaluated or predicts the same as the model. The gain is the
    model's precision at capacity minus the champion's, on the same bootstrap replicates.
    """

    note: str
    metrics: Mapping[str, MetricEstimate] = field(default_factory=dict)
    precision_gain: MetricEstimate | None = None


def compare_with_champion(
    evaluation: EvaluationResult, champion_predictions: ChampionPredictions, settings: Settings
) -> ChampionComparison:
    """Compute the champion's metrics, from :func:`backtest_champion`, on the model's outcomes."""
    model, champion = evaluation.predictions, champion_predictions.predictions
    if champion is None or champion["probability"].equals(model["probability"]):
        return ChampionComparison(champion_predictions.note)
    keys = ["account_id", "as_of"]
    paired = model.join(
        champion.select(*keys, champion="probability"), on=keys, how="inner", maintain_order="left"
    )
    return ChampionComparison(
        champion_predictions.note,
        metric_tables.compute_probability_metrics(paired, ["champion"], settings)["champion"],
        metric_tables.compute_precision_gain(paired, "champion", settings),
    )
