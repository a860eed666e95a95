"""``[web]``: where the page is served, who may sign in, and who sees whose accounts."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from pydantic import Field, SecretStr, model_validator

from data.config.sections import ConfigSection

__all__ = ["Web"]

_MIN_TOKEN_LENGTH: Final = 16  # of a token: shorter ones are guessed


class Web(ConfigSection):
    """The page that `expansion serve` serves: see docs/guides/web.md."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; there nobody signs in."
    )
    port: int = Field(8000, ge=0, le=65_535, description="Port; 0 takes a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Names by which a browser may ask for it, such as expansion.acme.com."
    )
    token: SecretStr | None = Field(
        None, description='Who has it sees every book: "${EXPANSION_TOKEN}".'
    )
    tokens: Mapping[str, SecretStr] = Field(
        {}, description='CSM = token of one who sees that book only: "${ADA_TOKEN}".'
    )
    auth_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        description="In place of tokens: header in which a proxy that signs people in names them.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"), description="Addresses from which that header is believed."
    )
    managers: tuple[str, ...] = Field((), description="People of that header who see every book.")
    user_portfolios: Mapping[str, str] = Field(
        {}, description="Person of that header = CSM as the list names them; else the same name."
    )
    page_size: int = Field(50, ge=10, le=500, description="Accounts on one page of the list.")
    webhook_requests_per_minute: int = Field(
        120_000, ge=1, le=10_000_000, description="Webhook calls taken of one address in a minute."
    )

    @property
    def auth_disabled(self) -> bool:
        """Whether nobody signs in: only this machine can ask."""
        return self.token is None and not self.tokens and self.auth_header is None

    @model_validator(mode="after")
    def _validate_auth(self) -> "Web":
        if self.auth_disabled and not _is_loopback(self.host):
            raise ValueError(
                "on an address that others can reach, set token, tokens, or header with proxies"
            )
        secrets = [*self.tokens.values(), *([self.token] if self.token else [])]
        told = [secret.get_secret_value() for secret in secrets]
        if any(len(each) < _MIN_TOKEN_LENGTH for each in told):
            raise ValueError(f"a token needs at least {_MIN_TOKEN_LENGTH} characters")
        if len(set(told)) < len(told):
            raise ValueError("two tokens are the same; nobody could tell who is who")
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
