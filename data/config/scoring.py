"""Settings of ``[scoring]`` and ``[playbook]``: the weekly list, tier thresholds and motions."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from data.config.base import ConfigSection

__all__ = ["Playbook", "Scoring"]

MOTION_MINUTES: Final[Mapping[str, float]] = {
    "seat_add": 30.0,
    "volume_upgrade": 60.0,
    "capabilities": 120.0,
    "consolidate": 45.0,
    "retain": 90.0,
    "cooldown": 5.0,
    "watch": 30.0,
}
CONTACT_ROLES: Final[Mapping[str, str]] = {
    "seat_add": "department head or admin",
    "volume_upgrade": "developer who built the integration",
    "capabilities": "champion",
    "new_department": "champion and the new department",
    "consolidate": "champion",
    "retain": "champion",
    "watch": "champion",
}


class Playbook(ConfigSection):
    """Thresholds of the tier rules, limits and motions."""

    seat_utilization: float = Field(
        0.88, gt=0, le=2, description="Tier 1: seat utilization above this, with new users."
    )
    api_growth: float = Field(
        0.2, ge=0, le=10, description="Tier 1: least growth of API volume over the month before."
    )
    usage_utilization: float = Field(
        0.5, ge=0, le=2, description="Tier 1 by API growth: least share of the usage limit used."
    )
    limit_utilization: float = Field(
        0.8, gt=0, le=2, description="Utilization from which an account is near that limit."
    )
    plateau_utilization: float = Field(
        0.8, gt=0, le=2, description="Plateau: least seat utilization, with no new users."
    )
    plateau_days: int = Field(
        180, ge=60, le=360, description="Days of a flat plateau after which outreach is suppressed."
    )
    churn_risk: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Churn probability within the horizon from which outreach is suppressed.",
    )
    cooldown_days: int = Field(
        60,
        ge=0,
        le=360,
        description="Days without outreach after an account was contacted; the backtest has its"
        " own setting (backtest.cooldown_days).",
    )
    motion_minutes: Mapping[str, Annotated[float, Field(gt=0, le=10_000)]] = Field(
        MOTION_MINUTES, description="Motion = minutes of CSM time per account."
    )
    contact_roles: Mapping[
        str, Annotated[str, Field(min_length=1, max_length=80, pattern="^[^@]+$")]
    ] = Field(
        CONTACT_ROLES,
        description="Motion = role to contact at the account; no names or addresses.",
    )

    @field_validator("motion_minutes", "contact_roles")
    @classmethod
    def _complete_motions(
        cls, given: Mapping[str, object], info: ValidationInfo
    ) -> Mapping[str, object]:
        """Add the default of each motion that is not given."""
        defaults = cls.model_fields[str(info.field_name)].default
        unknown = sorted(given.keys() - defaults.keys())
        if unknown:
            expected = ", ".join(defaults)
            raise ValueError(f"unknown motion(s) {', '.join(unknown)}; expected {expected}")
        return {**defaults, **given}


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
