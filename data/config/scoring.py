"""Settings of ``[scoring]``: the weekly list."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from data.config.base import ConfigSection

__all__ = ["Scoring"]


class Scoring(ConfigSection):
    """The weekly list: dates, order, notes and texts."""

    max_log_age_days: int = Field(
        7,
        ge=1,
        le=365,
        description="Days between the end of the log and the as-of above which scoring stops.",
    )
    lead_days: int = Field(
        21,
        ge=0,
        le=180,
        description="Days before the expected expansion to start the conversation.",
    )
    date_width_days: int = Field(
        130, ge=1, le=180, description="Widest 80 % interval for which a date is shown."
    )
    date_min_probability: float = Field(
        0.1, ge=0, le=1, description="Least probability within 180 days for which a date is shown."
    )
    rank_by: Literal["probability", "expected_arr", "expected_arr_per_minute"] = Field(
        "probability",
        description="Order of the list: by probability, by expected ARR, or by expected ARR per"
        " minute of the motion (playbook.motion_minutes).",
    )
    ui_strings: Mapping[str, str] = Field(
        {},
        description="Your own UI strings, by key; serving/scoring/text/ui_strings.toml lists the"
        " defaults.",
    )
    reason_templates: str | None = Field(
        None,
        description="TOML file of your own reason templates, relative to the settings file;"
        " `expansion features --reason-templates` prints the defaults.",
    )
