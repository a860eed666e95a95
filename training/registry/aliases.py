"""Which version is champion, which was before it, which waits: moved so that a kill is harmless.

A champion changes in steps, each one call to the store. What leaves is noted first, under an alias
of its own, and the champion's alias moves by itself: so every state in between reads as before the
move or as after it, and the next move clears up what a kill left.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "Aliases", "challenge", "history", "install", "of"]

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
PREVIOUS: Final = "previous"
_LEAVING: Final = "leaving"
_HISTORY: Final = "promotions"
_REMEMBERED: Final = 10


@dataclass(frozen=True)
class Aliases:
    """Versions by the part they play; None where no version plays it."""

    champion: str | None = None
    challenger: str | None = None
    previous: str | None = None


def of(client: mlflow.MlflowClient, name: str) -> Aliases:
    """Read who plays which part, a move that was broken off taken as made or not begun."""
    found = _raw(client, name)
    champion, leaving = found.get(CHAMPION), found.get(_LEAVING)
    challenger, previous = found.get(CHALLENGER), found.get(PREVIOUS)
    if leaving is not None and leaving != champion:
        previous = leaving
    return Aliases(champion, None if challenger == champion else challenger, previous)


def challenge(client: mlflow.MlflowClient, name: str, version: str) -> None:
    """Let a version wait for its promotion; one that waited gives way."""
    client.set_registered_model_alias(name, CHALLENGER, version)


def install(
    client: mlflow.MlflowClient, name: str, version: str, *, note: Mapping[str, Any]
) -> None:
    """Make a version the champion, and the champion the previous one.

    Parameters
    ----------
    client : mlflow.MlflowClient
        Of the store.
    name : str
        Of the registered model.
    version : str
        Not the champion's.
    note : mapping
        JSON values, kept with the version: who, when, why.
    """
    _clear_up(client, name)
    told = [*history(client, name, version), dict(note)][-_REMEMBERED:]
    client.set_model_version_tag(name, version, _HISTORY, json.dumps(told))
    champion = of(client, name).champion
    if champion is not None:
        client.set_registered_model_alias(name, _LEAVING, champion)
    client.set_registered_model_alias(name, CHAMPION, version)
    _clear_up(client, name)


def history(client: mlflow.MlflowClient, name: str, version: str) -> list[dict[str, Any]]:
    """How a version came to be champion, each time: the notes given to :func:`install`."""
    tags = client.get_model_version(name, version).tags
    found: list[dict[str, Any]] = json.loads(tags.get(_HISTORY, "[]"))
    return found


def _clear_up(client: mlflow.MlflowClient, name: str) -> None:
    """Bring the aliases to what they read as."""
    found, meant = _raw(client, name), of(client, name)
    if _LEAVING in found:
        if meant.previous is not None and meant.previous != found.get(PREVIOUS):
            client.set_registered_model_alias(name, PREVIOUS, meant.previous)
        client.delete_registered_model_alias(name, _LEAVING)
    if CHALLENGER in found and meant.challenger is None:
        client.delete_registered_model_alias(name, CHALLENGER)


def _raw(client: mlflow.MlflowClient, name: str) -> dict[str, str]:
    try:
        found = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return {}
        raise
    return {alias: str(version) for alias, version in found.items()}
