"""Settings of the web server, webhooks and alerts."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, Literal

from pydantic import Field, SecretStr, model_validator

from data.config.base import ConfigSection

__all__ = ["AlertsConfig", "WebConfig", "WebhooksConfig"]

_MIN_TOKEN_LENGTH: Final = 16  # shorter tokens can be guessed


class WebConfig(ConfigSection):
    """The web page of `expansion serve`: see docs/guides/web.md."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on; the loopback needs no authentication.",
    )
    port: int = Field(8000, ge=0, le=65_535, description="Port; 0 takes a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names that browsers may use, such as expansion.acme.com."
    )
    token: SecretStr | None = Field(
        None, description='Token of a user who sees every portfolio: "${EXPANSION_TOKEN}".'
    )
    tokens: Mapping[str, SecretStr] = Field(
        {}, description='CSM = token of a user who sees only that portfolio: "${ADA_TOKEN}".'
    )
    auth_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        description="Instead of tokens: header in which an authenticating proxy names the user.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"), description="Addresses from which auth_header is accepted."
    )
    managers: tuple[str, ...] = Field(
        (), description="Users of auth_header who see every portfolio."
    )
    user_portfolios: Mapping[str, str] = Field(
        {}, description="User of auth_header = CSM in the list; default: the same name."
    )
    webhook_requests_per_minute: int = Field(
        120_000,
        ge=1,
        le=10_000_000,
        description="Rate limit of webhook requests per address and minute.",
    )

    @property
    def auth_disabled(self) -> bool:
        """True if authentication is off: only the local machine can connect."""
        return self.token is None and not self.tokens and self.auth_header is None

    @model_validator(mode="after")
    def _validate_auth(self) -> "WebConfig":
        if self.auth_disabled and not _is_loopback(self.host):
            raise ValueError(
                "on an address that others can reach, set token, tokens, or auth_header with"
                " trusted_proxies"
            )
        secrets = [*self.tokens.values(), *([self.token] if self.token else [])]
        values = [secret.get_secret_value() for secret in secrets]
        if any(len(value) < _MIN_TOKEN_LENGTH for value in values):
            raise ValueError(f"a token needs at least {_MIN_TOKEN_LENGTH} characters")
        if len(set(values)) < len(values):
            raise ValueError("two tokens are the same; expected a different token per user")
        return self


class WebhooksConfig(ConfigSection):
    """Webhook sources and their payloads: see docs/guides/events.md."""

    segment_secret: SecretStr | None = Field(
        None, description='Shared secret of Segment\'s webhook: "${SEGMENT_SECRET}".'
    )
    generic_secret: SecretStr | None = Field(
        None, description='Secret of all other sources: "${WEBHOOK_SECRET}".'
    )
    segment_account: tuple[str, ...] = Field(
        ("context.groupId", "properties.account_id", "properties.accountId"),
        description="Paths of the account or workspace id in Segment's messages; the first present"
        " one is used.",
    )
    payload_format: Literal["own", "amplitude", "mixpanel"] = Field(
        "own", description="Payload format of /webhooks/generic."
    )
    fields: Mapping[
        Literal["message_id", "account", "user", "event", "feature", "quantity", "timestamp"], str
    ] = Field({}, description="Fields at another path than in payload_format: field = dotted path.")
    workspaces: str | None = Field(
        None,
        description="CSV of workspace_id, account_id, relative to the settings file, for events"
        " that name workspaces; an id that is not in it is an account id.",
    )
    retention_days: int = Field(
        400, ge=100, le=1200, description="Days to keep events; features look back 13 months."
    )

    @property
    def secrets(self) -> Mapping[str, SecretStr]:
        """Source → its secret, for the sources that have one; only these are served."""
        secrets = {"segment": self.segment_secret, "generic": self.generic_secret}
        return {source: secret for source, secret in secrets.items() if secret is not None}


class AlertsConfig(ConfigSection):
    """Thresholds at which seat or usage utilization raises an alert between two lists."""

    nudge: float = Field(0.8, gt=0, le=2, description="Share of the limit: worth a look.")
    priority: float = Field(0.9, gt=0, le=2, description="Share of the limit: act this week.")
    urgent: float = Field(1.0, gt=0, le=2, description="Share of the limit: act now.")
    nudge_days: int = Field(
        3, ge=1, le=90, description="Consecutive days above nudge before the alert; 1: at once."
    )
    priority_days: int = Field(2, ge=1, le=90, description="The same for priority.")
    urgent_days: int = Field(1, ge=1, le=90, description="The same for urgent.")
    tier_1: bool = Field(
        default=True, description="Whether the tier 1 rules of [playbook] also count as priority."
    )
    clear_threshold: float = Field(
        0.7,
        gt=0,
        le=2,
        description="Share of the limit below which an alert clears (hysteresis).",
    )
    clear_after_days: int = Field(
        3,
        ge=1,
        le=90,
        description="Consecutive whole days below clear_threshold before an alert closes.",
    )
    expiry_days: int = Field(
        60, ge=7, le=360, description="Days after which an alert without an expansion closes."
    )

    @model_validator(mode="after")
    def _validate_order(self) -> "AlertsConfig":
        if not self.clear_threshold < self.nudge <= self.priority <= self.urgent:
            raise ValueError("expected clear_threshold < nudge <= priority <= urgent")
        return self

    @property
    def severities(self) -> tuple[tuple[float, int], ...]:
        """Utilization threshold and days of nudge, priority and urgent."""
        return (
            (self.nudge, self.nudge_days),
            (self.priority, self.priority_days),
            (self.urgent, self.urgent_days),
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
