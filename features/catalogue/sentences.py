"""The sentences, unless a company says otherwise: ``sentences.toml`` beside this."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["default", "text"]


def text() -> str:
    """Give the file itself, to start a translation from."""
    return (resources.files("features.catalogue") / "sentences.toml").read_text(encoding="utf-8")


@cache
def default() -> dict[str, Any]:
    """Give its tables: ``shared``, ``words``, and one per story."""
    return tomllib.loads(text())
