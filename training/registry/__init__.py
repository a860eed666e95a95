"""Where runs and models are kept: the only package that imports MLflow.

What a model is as files, and why reading them executes no code, stands in
:mod:`training.artifact`; the registry keeps the digest of its card as a tag of the version.
"""

from training.registry.kept import CHAMPION, Registered, load, ready, register

__all__ = ["CHAMPION", "Registered", "load", "ready", "register"]
