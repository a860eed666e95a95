"""Settings of the application database, CRM delivery, episodes, digests and Slack."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, SecretStr

from data.config.base import ConfigSection

__all__ = [
    "CrmConfig",
    "DatabaseConfig",
    "DigestConfig",
    "EpisodesConfig",
    "FilesConfig",
    "HubSpotConfig",
    "OdooConfig",
    "SalesforceConfig",
    "SlackConfig",
]


class DatabaseConfig(ConfigSection):
    """The application's own database: lists, desired state, change log, events and alerts."""

    url: str | None = Field(
        None, repr=False, description="SQLAlchemy URL; default: crm.db in the state folder."
    )


class FilesConfig(ConfigSection):
    """One-way export to files: see docs/guides/files.md."""

    folder: str | None = Field(
        None,
        description="Folder, relative to the settings file; default: crm in the state folder.",
    )
    format: Literal["csv", "parquet"] = Field("csv", description="Format of the files.")


class OdooConfig(ConfigSection):
    """Odoo 19 or later: see docs/guides/odoo.md."""

    url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@]+$",
        description="URL of the server, e.g. https://crm.acme.com.",
    )
    database: str | None = Field(
        None, description="Database name; required if the server has several."
    )
    api_key: SecretStr | None = Field(
        None, description='API key of the integration user: "${ODOO_API_KEY}".'
    )
    match: str = Field(
        "ref",
        description="Field of res.partner that holds account_id; accounts.crm_id takes precedence.",
    )
    create_partners: bool = Field(
        False, description="Whether to create a partner for an account without a match."
    )
    team: str = Field("Expansion", min_length=1, description="Sales team of the opportunities.")
    tag: str = Field(
        "Expansion",
        min_length=1,
        description="Tag of opportunities created by humans that may be adopted.",
    )
    activity: str = Field("Expansion", min_length=1, description="Type of the activities.")
    fields: Mapping[Literal["account", "opportunity", "task"], Mapping[str, str]] = Field(
        {}, description="By object kind: field = Odoo's field; an empty name omits it."
    )
    rows_per_call: int = Field(100, ge=1, le=1000, description="Rows per API call.")
    calls_per_minute: int | None = Field(
        None, ge=1, le=10_000, description="Rate limit in calls per minute; 60 for Odoo Online."
    )


class HubSpotConfig(ConfigSection):
    """HubSpot: see docs/guides/hubspot.md."""

    token: SecretStr | None = Field(
        None, description='Service key or private app token: "${HUBSPOT_TOKEN}".'
    )
    plan: Literal["free", "starter", "professional", "enterprise"] = Field(
        "professional", description="HubSpot plan, which sets the rate limit."
    )
    account_property: str = Field(
        "expansion_account_id",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Unique property of companies that holds account_id; accounts.crm_id takes"
        " precedence.",
    )
    create_companies: bool = Field(
        False, description="Whether to create a company for an account without a match."
    )
    pipeline: str = Field(
        "Expansion", min_length=1, description="Name of the deal pipeline of the opportunities."
    )
    stages: Mapping[
        Literal["open", "expanded", "relieved", "expired", "lapsed", "withdrawn"], str
    ] = Field({}, description="Episode state = name of its deal stage, for your own pipeline.")


class SalesforceConfig(ConfigSection):
    """Salesforce: see docs/guides/salesforce.md."""

    instance_url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@]+$",
        description="URL of the org (My Domain), e.g. https://acme.my.salesforce.com.",
    )
    client_id: SecretStr | None = Field(
        None, description='Consumer key of the connected app: "${SALESFORCE_CLIENT_ID}".'
    )
    client_secret: SecretStr | None = Field(
        None, description='Its consumer secret: "${SALESFORCE_CLIENT_SECRET}".'
    )
    access_token: SecretStr | None = Field(
        None,
        description='Instead of both, an access token from elsewhere: "${SALESFORCE_TOKEN}".',
    )
    match: str = Field(
        "Expansion_Account_Id__c",
        pattern=r"^[A-Za-z]\w*$",
        description="Field of Account that holds account_id; accounts.crm_id takes precedence.",
    )
    create_accounts: bool = Field(
        False, description="Whether to create a record for an account without a match."
    )
    type: str = Field(
        "Expansion",
        description="Type of the opportunities, and of human-created ones that may be adopted;"
        " empty: none.",
    )
    record_type: str | None = Field(
        None,
        description="Developer name of the opportunities' record type; replaces type if set.",
    )
    stage: str = Field("Prospecting", min_length=1, description="Stage of a new opportunity.")
    close_days: int = Field(
        60, ge=1, le=720, description="Days until the close date, without an expected date."
    )
    task_status: str = Field("Not Started", min_length=1, description="Status of a new task.")
    task_priority: str = Field("Normal", min_length=1, description="Priority of a new task.")
    fields: Mapping[Literal["account", "opportunity", "task"], Mapping[str, str]] = Field(
        {}, description="By object kind: field = Salesforce's field; an empty name omits it."
    )
    daily_share: float = Field(
        0.5, gt=0, le=1, description="Share of the org's daily API limit at which sending stops."
    )
    rows_per_call: int = Field(200, ge=1, le=200, description="Records per API call.")


class CrmConfig(ConfigSection):
    """The CRM that lists are written to."""

    name: Literal["sql", "odoo", "hubspot", "salesforce", "files"] = Field(
        "sql", description="CRM to write to."
    )
    hold_first_run: bool = Field(
        True,
        description="Whether the first list is held until a human sends it with `expansion crm"
        ' send`; never for the targets "sql" and "files".',
    )
    max_writes: int | None = Field(
        None,
        ge=1,
        description="Most objects written per run, best ranks first; default: all.",
    )
    max_minutes: float = Field(
        30.0, gt=0, le=1440, description="Minutes after which sending stops until the next run."
    )
    odoo: OdooConfig = OdooConfig()
    hubspot: HubSpotConfig = HubSpotConfig()
    salesforce: SalesforceConfig = SalesforceConfig()
    files: FilesConfig = FilesConfig()


class EpisodesConfig(ConfigSection):
    """End conditions of an episode of pressure on an account's limit."""

    clear_after_days: int = Field(
        28, ge=1, le=360, description="Days without a tier on that limit until it is relieved."
    )
    expiry_days: int = Field(
        180, ge=7, le=720, description="Days without an expansion until it expires."
    )


class DigestConfig(ConfigSection):
    """The weekly digest for a CSM."""

    accounts: int = Field(5, ge=1, le=10, description="Accounts shown in detail.")
    link: str | None = Field(
        None,
        pattern=r"^https?://[^\s<>\"]*\{account_id\}[^\s<>\"]*$",
        max_length=500,
        description="URL of an account's page, with the placeholder {account_id}.",
    )


class SlackConfig(ConfigSection):
    """Slack channels for digests and alerts: see docs/guides/slack.md."""

    bot_token: SecretStr | None = Field(None, description='Bot token: "${SLACK_BOT_TOKEN}".')
    webhook_url: SecretStr | None = Field(
        None, description='Instead, an incoming webhook of one channel: "${SLACK_WEBHOOK_URL}".'
    )
    channel: str | None = Field(
        None,
        pattern=r"^[A-Z0-9]{3,}$",
        description="Id of the default channel, also for alerts.",
    )
    channels: Mapping[str, str] = Field(
        {},
        description="CSM = id of a channel or user; default: the user with the CSM's e-mail.",
    )
