"""Champion/challenger: evaluate the champion's settings on the same cutoffs as a new model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from pydantic import ValidationError

from data.config.settings import ModelConfig, Settings
from data.errors import HistoryError
from features.catalogue import FEATURES_BY_NAME
from training.evaluation import evaluate
from training.model.propensity import INPUTS
from training.promotion import gate
from training.promotion.gate import GateDecision

__all__ = [
    "Champion",
    "ChampionPredictions",
    "backtest_champion",
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
    """Walk-forward predictions of the champion's settings.

    Attributes
    ----------
    predictions : polars.DataFrame or None
        ``account_id``, ``as_of``, ``probability``; None where the champion cannot be evaluated.
    note : str
        A sentence: the champion's version, or why it is excluded.
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

    Parameters
    ----------
    predictions : polars.DataFrame
        Walk-forward predictions of the new model.
    champion : Champion or None
        The model it would replace.
    snapshots, contracts, settings, end, progress
        As for :func:`backtest_champion`.
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

    Parameters
    ----------
    champion : Champion
        Its card holds its settings.
    predictions : polars.DataFrame
        Predictions of the new model; reused for the champion where the settings are equal.
    snapshots, contracts, settings, end, progress
        As for :func:`training.evaluation.evaluate.evaluate_walk_forward`, with the settings of the
        new model.
    """
    champion_name = f"Champion version {champion.version}"
    keys = ("account_id", "as_of", "probability")
    if champion.card is None:
        return ChampionPredictions(
            None, f"{champion_name} is excluded from the comparison: {champion.unavailable_reason}"
        )
    current_features = {name: FEATURES_BY_NAME[name].unit for name in INPUTS}
    if champion.card.get("features") != current_features:
        reason = "it was trained on features that differ from this catalogue."
        return ChampionPredictions(
            None, f"{champion_name} is excluded from the comparison: {reason}"
        )
    try:
        champion_settings = ModelConfig(**champion.card["settings"])
    except (KeyError, TypeError, ValidationError):
        reason = "its settings are not valid in this version."
        return ChampionPredictions(
            None, f"{champion_name} is excluded from the comparison: {reason}"
        )
    if champion_settings == settings.model:
        note = f"{champion_name} has the same settings and therefore the same predictions."
        return ChampionPredictions(predictions.select(keys), note)
    changed = settings.model_copy(update={"model": champion_settings})
    try:
        evaluation = evaluate.evaluate_walk_forward(
            snapshots, contracts, changed, end=end, progress=progress, reference_models={}
        )
    except HistoryError as error:
        return ChampionPredictions(
            None, f"{champion_name} is excluded from the comparison: {error}"
        )
    return ChampionPredictions(
        evaluation.predictions.select(keys), f"{champion_name} was evaluated on the same cutoffs."
    )
