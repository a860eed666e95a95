"""The champion beside a newly trained model: its settings, walked over the same cuts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from pydantic import ValidationError

from data.errors import HistoryError
from data.settings import Model, Settings
from features.catalogue import by_name
from training import evaluate, gate
from training.gate import Ruling
from training.model import INPUTS

__all__ = ["Champion", "Rival", "rule", "told", "walk"]


@dataclass(frozen=True)
class Champion:
    """The champion's version, and its card; without one, the reason why it cannot be read."""

    version: str
    card: Mapping[str, Any] | None
    lack: str = ""


@dataclass(frozen=True)
class Rival:
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


def rule(
    mine: pl.DataFrame,
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    end: datetime,
    champion: Champion | None,
    progress: Callable[[int, int], None] | None = None,
) -> Ruling:
    """Rule whether a model may be promoted, beside the champion where there is one.

    Parameters
    ----------
    mine : polars.DataFrame
        What the model said in its walk forward.
    champion : Champion or None
        Whose place it would take.
    snapshots, contracts, settings, end, progress
        As for :func:`walk`.
    """
    if champion is None:
        return gate.judge(mine, settings)
    beside = walk(champion, mine, snapshots, contracts, settings, end=end, progress=progress)
    return gate.judge(mine, settings, champion=beside.predictions, notes=[beside.note])


def told(ruling: Ruling, champion: Champion | None) -> dict[str, Any]:
    """Give a ruling as JSON values, with the champion's version that it was made beside."""
    return ruling.told() | {"champion": None if champion is None else champion.version}


def walk(
    champion: Champion,
    mine: pl.DataFrame,
    snapshots: pl.DataFrame,
    contracts: pl.DataFrame,
    settings: Settings,
    *,
    end: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> Rival:
    """Walk the champion's settings over the cuts that judged the new model.

    Parameters
    ----------
    champion : Champion
        Its card holds its settings.
    mine : polars.DataFrame
        What the new model said; taken as the champion's word where the settings are equal.
    snapshots, contracts, settings, end, progress
        As for :func:`training.evaluate.walk`; the settings are those of the new model.
    """
    called = f"Champion version {champion.version}"
    keys = ("account_id", "as_of", "probability")
    if champion.card is None:
        return Rival(None, f"{called} is left out of the comparison: {champion.lack}")
    present = {name: by_name[name].unit for name in INPUTS}
    if champion.card.get("features") != present:
        lack = "it was trained on other features than this catalogue has."
        return Rival(None, f"{called} is left out of the comparison: {lack}")
    try:
        theirs = Model(**champion.card["settings"])
    except (KeyError, TypeError, ValidationError):
        lack = "its settings are not those of this version."
        return Rival(None, f"{called} is left out of the comparison: {lack}")
    if theirs == settings.model:
        note = f"{called} has the same settings, so it compares as equal without another walk."
        return Rival(mine.select(keys), note)
    changed = settings.model_copy(update={"model": theirs})
    try:
        found = evaluate.walk(
            snapshots, contracts, changed, end=end, progress=progress, learn_beside={}
        )
    except HistoryError as error:
        return Rival(None, f"{called} is left out of the comparison: {error}")
    return Rival(found.predictions.select(keys), f"{called} was walked over the same cuts.")
