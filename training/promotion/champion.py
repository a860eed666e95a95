"""The champion beside a newly trained model: its settings, walked over the same cuts."""

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
    """The champion's version, and its card; without one, the reason why it cannot be read."""

    version: str
    card: Mapping[str, Any] | None
    unavailable_reason: str = ""


@dataclass(frozen=True)
class ChampionPredictions:
    """What the champion would have said.

    Attributes
    ----------
    predictions : polars.DataFrame or None
        ``account_id``, ``as_of``, ``probability``; None where it cannot be walked.
    note : str
        Which champion this is, or why it is left out, in a sentence.
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
    """Rule whether a model may be promoted, beside the champion where there is one.

    Parameters
    ----------
    predictions : polars.DataFrame
        What the model said in its walk forward.
    champion : Champion or None
        Whose place it would take.
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
    """Give a ruling as JSON values, with the champion's version that it was made beside."""
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
    """Walk the champion's settings over the cuts that judged the new model.

    Parameters
    ----------
    champion : Champion
        Its card holds its settings.
    predictions : polars.DataFrame
        What the new model said; taken as the champion's word where the settings are equal.
    snapshots, contracts, settings, end, progress
        As for :func:`training.evaluation.evaluate.evaluate_walk_forward`; the settings are those of the new model.
    """
    champion_name = f"Champion version {champion.version}"
    keys = ("account_id", "as_of", "probability")
    if champion.card is None:
        return ChampionPredictions(
            None, f"{champion_name} is left out of the comparison: {champion.unavailable_reason}"
        )
    current_features = {name: FEATURES_BY_NAME[name].unit for name in INPUTS}
    if champion.card.get("features") != current_features:
        reason = "it was trained on other features than this catalogue has."
        return ChampionPredictions(None, f"{champion_name} is left out of the comparison: {reason}")
    try:
        champion_settings = ModelConfig(**champion.card["settings"])
    except (KeyError, TypeError, ValidationError):
        reason = "its settings are not those of this version."
        return ChampionPredictions(None, f"{champion_name} is left out of the comparison: {reason}")
    if champion_settings == settings.model:
        note = (
            f"{champion_name} has the same settings, so it compares as equal without another walk."
        )
        return ChampionPredictions(predictions.select(keys), note)
    changed = settings.model_copy(update={"model": champion_settings})
    try:
        evaluation = evaluate.evaluate_walk_forward(
            snapshots, contracts, changed, end=end, progress=progress, reference_models={}
        )
    except HistoryError as error:
        return ChampionPredictions(None, f"{champion_name} is left out of the comparison: {error}")
    return ChampionPredictions(
        evaluation.predictions.select(keys), f"{champion_name} was walked over the same cuts."
    )
