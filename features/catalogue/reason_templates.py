"""The sentences, unless a company says otherwise: ``sentences.toml`` beside this."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["load_default", "read_text"]


def read_text() -> str:
    """Give the file itself, to start a translation from."""
    return (resources.files("features.catalogue") / "reason_templates.toml").read_text(
        encoding="utf-8"
    )


@cache
def load_default() -> dict[str, Any]:
    """Give its tables: ``shared``, ``words``, and one per story."""
    return tomllib.loads(read_text())
