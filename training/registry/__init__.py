"""Model registry: runs, model versions and aliases; the only package that imports MLflow.

:mod:`training.registry.serialization` defines the model files. The digest of the model card is
stored as a tag of the model version.
"""

from training.registry.aliases import CHALLENGER, CHAMPION, PREVIOUS, ModelAliases
from training.registry.model_store import (
    RegisteredModel,
    find_champion,
    load_alias,
    load_for_scoring,
    register_model,
)
from training.registry.promotion import Promotion, get_aliases, promote, rollback

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "ModelAliases",
    "Promotion",
    "RegisteredModel",
    "find_champion",
    "get_aliases",
    "load_alias",
    "load_for_scoring",
    "promote",
    "register_model",
    "rollback",
]
