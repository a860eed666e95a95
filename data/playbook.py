"""``[playbook]``: when a rule of thumb fires, what keeps from asking, whom to talk to, how long."""

from pydantic import Field

from data.sections import Section

__all__ = ["Buyers", "Minutes", "Playbook"]


class Minutes(Section):
    """Minutes of a CSM that one account takes, by the motion it gets."""

    seat_add: float = Field(30, gt=0, le=10_000, description="To sell seats: logistics.")
    volume_upgrade: float = Field(60, gt=0, le=10_000, description="To sell volume or a plan.")
    capabilities: float = Field(120, gt=0, le=10_000, description="For a QBR, prepared and held.")
    consolidate: float = Field(45, gt=0, le=10_000, description="To look for new use cases.")
    retain: float = Field(90, gt=0, le=10_000, description="To keep who may leave.")
    rest: float = Field(5, gt=0, le=10_000, description="To see that it was worked of late.")
    watch: float = Field(30, gt=0, le=10_000, description="Where no rule of thumb fires.")


def _role(words: str) -> str:
    description = "A role in words, no name and no address."
    return Field(words, min_length=1, max_length=80, pattern="^[^@]+$", description=description)


class Buyers(Section):
    """Whom at the account to talk to, by the motion it gets."""

    seat_add: str = _role("department head or admin")
    volume_upgrade: str = _role("developer who built the integration")
    capabilities: str = _role("champion")
    spreading: str = _role("champion and the new department")
    consolidate: str = _role("champion")
    retain: str = _role("champion")
    watch: str = _role("champion")


class Playbook(Section):
    """Tiers, limits and motions: the thresholds of the trade's rules of thumb."""

    seat_share: float = Field(
        0.88, gt=0, le=2, description="Tier 1: more of the seats in use, and somebody new."
    )
    api_growth: float = Field(
        0.2, ge=0, le=10, description="Tier 1: API volume up by more, on the month before, and"
    )
    usage_share: float = Field(
        0.5, ge=0, le=2, description="at least such a share of the usage limit used."
    )
    limit_share: float = Field(
        0.8, gt=0, le=2, description="From such a share on, an account runs into that limit."
    )
    plateau_share: float = Field(
        0.8, gt=0, le=2, description="A plateau: so much of the seats in use, nobody new,"
    )
    plateau_days: int = Field(180, ge=60, le=360, description="and flat for so long: no ask.")
    churn_risk: float = Field(
        0.2, gt=0, le=1, description="Chance to leave within the horizon from which no ask is made."
    )
    rest_days: int = Field(
        60,
        ge=0,
        le=360,
        description="After an account was worked, no ask for so long; the replay of history has"
        " its own (backtest.rest_days).",
    )
    minutes: Minutes = Minutes()
    buyers: Buyers = Buyers()
