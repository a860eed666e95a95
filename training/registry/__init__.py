"""Where runs and models are kept: the only package that imports MLflow.

What a model is as files, and why reading them executes no code, stands in
:mod:`training.registry.serialization`; the registry keeps the digest of its card as a tag of the version.
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
