"""Built-in reason templates, from ``reason_templates.toml``."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["load_default", "read_text"]


def read_text() -> str:
    """Return the template file's text, as a starting point for a translation."""
    return (resources.files("features.catalogue") / "reason_templates.toml").read_text(
        encoding="utf-8"
    )


@cache
def load_default() -> dict[str, Any]:
    """Return the file's tables: the macros, the number format, and one table per reason group."""
    return tomllib.loads(read_text())
