"""Where runs and models are kept: the only package that imports MLflow.

What a model is as files, and why reading them executes no code, stands in
:mod:`training.artifact`; the registry keeps the digest of its card as a tag of the version.
"""

from training.registry.aliases import CHALLENGER, CHAMPION, PREVIOUS, Aliases
from training.registry.kept import Registered, champion, load, register, serving
from training.registry.promotion import Promotion, parts, promote, rollback

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "Aliases",
    "Promotion",
    "Registered",
    "champion",
    "load",
    "parts",
    "promote",
    "register",
    "rollback",
    "serving",
]
