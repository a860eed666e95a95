"""Base class of a settings section."""

from typing import Final

from pydantic import BaseModel, ConfigDict

__all__ = ["MONTH_DAYS", "ConfigSection"]

MONTH_DAYS: Final = 30


class ConfigSection(BaseModel):
    """A section of ``expansion.toml``: frozen, unknown keys are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")
