"""Registry aliases (champion, challenger, previous), moved so that an interrupted move is harmless.

A change of champion takes several calls to the store. The outgoing version is recorded first under
its own alias, and the champion alias moves in a single call. Every intermediate state therefore
reads as either before or after the move, and the next move completes what an interruption left.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from training.registry.store import TrackingStore

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "ModelAliases",
    "read_aliases",
    "read_promotion_history",
    "set_champion",
]

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
PREVIOUS: Final = "previous"
_OUTGOING: Final = "outgoing"
_PROMOTIONS_TAG: Final = "promotions"
_MAX_PROMOTIONS: Final = 10


@dataclass(frozen=True)
class ModelAliases:
    """Version of each alias; None where no version has it."""

    champion: str | None = None
    challenger: str | None = None
    previous: str | None = None


def read_aliases(store: TrackingStore) -> ModelAliases:
    """Return the version of each alias; an interrupted move reads as complete or not started."""
    current = _read_raw_aliases(store)
    champion, outgoing = current.get(CHAMPION), current.get(_OUTGOING)
    challenger, previous = current.get(CHALLENGER), current.get(PREVIOUS)
    if outgoing is not None and outgoing != champion:
        previous = outgoing
    return ModelAliases(champion, None if challenger == champion else challenger, previous)


def set_champion(store: TrackingStore, version: str, *, note: Mapping[str, Any]) -> None:
    """Make another version the champion, and the current champion the previous one.

    ``note`` holds the JSON values stored with the version: who, when, why.
    """
    client, name = store.client, store.model
    _complete_alias_move(store)
    promotions = [*read_promotion_history(client.get_model_version(name, version)), dict(note)]
    client.set_model_version_tag(
        name, version, _PROMOTIONS_TAG, json.dumps(promotions[-_MAX_PROMOTIONS:])
    )
    champion = read_aliases(store).champion
    if champion is not None:
        client.set_registered_model_alias(name, _OUTGOING, champion)
    client.set_registered_model_alias(name, CHAMPION, version)
    _complete_alias_move(store)


def read_promotion_history(model_version: ModelVersion) -> list[dict[str, Any]]:
    """Return the notes of each promotion of a version, as passed to :func:`set_champion`."""
    promotions: list[dict[str, Any]] = json.loads(model_version.tags.get(_PROMOTIONS_TAG, "[]"))
    return promotions


def _complete_alias_move(store: TrackingStore) -> None:
    """Write the aliases as :func:`read_aliases` resolves them, completing an interrupted move."""
    client, name = store.client, store.model
    current, resolved = _read_raw_aliases(store), read_aliases(store)
    if _OUTGOING in current:
        if resolved.previous is not None and resolved.previous != current.get(PREVIOUS):
            client.set_registered_model_alias(name, PREVIOUS, resolved.previous)
        client.delete_registered_model_alias(name, _OUTGOING)
    if CHALLENGER in current and resolved.challenger is None:
        client.delete_registered_model_alias(name, CHALLENGER)


def _read_raw_aliases(store: TrackingStore) -> dict[str, str]:
    try:
        raw_aliases = store.client.get_registered_model(store.model).aliases
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return {}
        raise
    return {alias: str(version) for alias, version in raw_aliases.items()}
