"""``[playbook]``: when a rule of thumb fires, what keeps from asking, whom to talk to, how long."""

from pydantic import Field

from data.config.sections import ConfigSection

__all__ = ["ContactRoles", "MotionMinutes", "Playbook"]


class MotionMinutes(ConfigSection):
    """Minutes of a CSM that one account takes, by the motion it gets."""

    seat_add: float = Field(30, gt=0, le=10_000, description="To sell seats: logistics.")
    volume_upgrade: float = Field(60, gt=0, le=10_000, description="To sell volume or a plan.")
    capabilities: float = Field(120, gt=0, le=10_000, description="For a QBR, prepared and held.")
    consolidate: float = Field(45, gt=0, le=10_000, description="To look for new use cases.")
    retain: float = Field(90, gt=0, le=10_000, description="To keep who may leave.")
    cooldown: float = Field(5, gt=0, le=10_000, description="To see that it was worked of late.")
    watch: float = Field(30, gt=0, le=10_000, description="Where no rule of thumb fires.")


def _role_field(default: str) -> str:
    description = "A role in words, no name and no address."
    return Field(default, min_length=1, max_length=80, pattern="^[^@]+$", description=description)


class ContactRoles(ConfigSection):
    """Whom at the account to talk to, by the motion it gets."""

    seat_add: str = _role_field("department head or admin")
    volume_upgrade: str = _role_field("developer who built the integration")
    capabilities: str = _role_field("champion")
    spreading: str = _role_field("champion and the new department")
    consolidate: str = _role_field("champion")
    retain: str = _role_field("champion")
    watch: str = _role_field("champion")


class Playbook(ConfigSection):
    """Tiers, limits and motions: the thresholds of the trade's rules of thumb."""

    seat_utilization: float = Field(
        0.88, gt=0, le=2, description="Tier 1: more of the seats in use, and somebody new."
    )
    api_growth: float = Field(
        0.2, ge=0, le=10, description="Tier 1: API volume up by more, on the month before, and"
    )
    usage_utilization: float = Field(
        0.5, ge=0, le=2, description="at least such a share of the usage limit used."
    )
    limit_utilization: float = Field(
        0.8, gt=0, le=2, description="From such a share on, an account runs into that limit."
    )
    plateau_utilization: float = Field(
        0.8, gt=0, le=2, description="A plateau: so much of the seats in use, nobody new,"
    )
    plateau_days: int = Field(180, ge=60, le=360, description="and flat for so long: no ask.")
    churn_risk: float = Field(
        0.2, gt=0, le=1, description="Chance to leave within the horizon from which no ask is made."
    )
    cooldown_days: int = Field(
        60,
        ge=0,
        le=360,
        description="After an account was worked, no ask for so long; the replay of history has"
        " its own (backtest.cooldown_days).",
    )
    motion_minutes: MotionMinutes = MotionMinutes()
    contact_roles: ContactRoles = ContactRoles()
