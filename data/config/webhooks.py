"""``[webhooks]`` and ``[alerts]``: events as they happen, and when they make a signal."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from data.config.sections import ConfigSection

__all__ = ["Alerts", "Webhooks"]


class Webhooks(ConfigSection):
    """What is taken from sources that send events: see docs/guides/events.md."""

    segment_secret: SecretStr | None = Field(
        None, description='Shared secret of Segment\'s webhook: "${SEGMENT_SECRET}".'
    )
    generic_secret: SecretStr | None = Field(
        None, description='Secret of all other sources: "${WEBHOOK_SECRET}".'
    )
    segment_account: tuple[str, ...] = Field(
        ("context.groupId", "properties.account_id", "properties.accountId"),
        description="Where in Segment's messages the account or workspace stands; first found.",
    )
    payload_format: Literal["own", "amplitude", "mixpanel"] = Field(
        "own", description="What messages of /webhooks/generic look like."
    )
    fields: Mapping[
        Literal["message_id", "account", "user", "event", "feature", "quantity", "timestamp"], str
    ] = Field({}, description="What stands elsewhere than in that shape: our name = dotted path.")
    workspaces: str | None = Field(
        None,
        description="CSV of workspace_id, account_id, relative to the settings file, where events"
        " name workspaces; an id that is not in it is that of an account.",
    )
    tolerance_seconds: int = Field(
        300, ge=10, le=3600, description="So old, or so far ahead, a signed request may be."
    )
    max_body_kb: int = Field(512, ge=1, le=10_240, description="A larger request is refused.")
    reload_minutes: int = Field(
        60, ge=1, le=1440, description="How often tables and log are read anew beside the events."
    )
    retention_days: int = Field(
        400, ge=100, le=1200, description="So long events are kept; features look back 13 months."
    )


class Alerts(ConfigSection):
    """When seats or usage that fill up make a signal between two lists."""

    nudge: float = Field(0.8, gt=0, le=2, description="Share of the limit: worth a look.")
    priority: float = Field(0.9, gt=0, le=2, description="Share of the limit: act this week.")
    urgent: float = Field(1.0, gt=0, le=2, description="Share of the limit: act now.")
    nudge_days: int = Field(3, ge=1, le=90, description="On so many days in a row; 1: at once.")
    priority_days: int = Field(2, ge=1, le=90, description="Likewise.")
    urgent_days: int = Field(1, ge=1, le=90, description="Likewise.")
    tier_1: bool = Field(
        default=True, description="The tier 1 rules of [playbook] count as priority, too."
    )
    clear_threshold: float = Field(
        0.7, gt=0, le=2, description="Below such a share the pressure has left; less is a swing."
    )
    clear_after_days: int = Field(
        3, ge=1, le=90, description="Left for so many whole days in a row, a signal is closed."
    )
    expiry_days: int = Field(
        60, ge=7, le=360, description="Nothing came of a signal for so long: closed."
    )

    @model_validator(mode="after")
    def _validate_order(self) -> "Alerts":
        if not self.clear_threshold < self.nudge <= self.priority <= self.urgent:
            raise ValueError("expected release < nudge <= priority <= urgent")
        return self

    @property
    def severities(self) -> tuple[tuple[float, int], ...]:
        """Share and days of nudge, priority and urgent."""
        return (
            (self.nudge, self.nudge_days),
            (self.priority, self.priority_days),
            (self.urgent, self.urgent_days),
        )
