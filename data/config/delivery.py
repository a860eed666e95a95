"""Where the list goes, and how it is told: the CRM of ``[crm]``, episodes, digests, Slack."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, SecretStr

from data.config.sections import ConfigSection

__all__ = [
    "CrmConfig",
    "DigestConfig",
    "Episodes",
    "FilesConfig",
    "HubSpotConfig",
    "OdooConfig",
    "SalesforceConfig",
    "Slack",
]


class FilesConfig(ConfigSection):
    """One-way export to files: see docs/guides/files.md."""

    folder: str | None = Field(
        None, description="Relative to the settings file; else crm in the state folder."
    )
    format: Literal["csv", "parquet"] = Field("csv", description="Format of the files.")


class OdooConfig(ConfigSection):
    """Odoo 19 or later: see docs/guides/odoo.md."""

    url: str | None = Field(
        None, pattern=r"^https?://[^/?#@]+$", description="Its address, e.g. https://crm.acme.com."
    )
    database: str | None = Field(
        None, description="Its database; needed where Odoo's server holds several."
    )
    api_key: SecretStr | None = Field(
        None, description='Key of the user who writes: "${ODOO_API_KEY}".'
    )
    match: str = Field(
        "ref", description="Field of res.partner that holds account_id; accounts.crm_id goes first."
    )
    create_partners: bool = Field(
        False, description="An account that no partner matches gets a partner of its own."
    )
    team: str = Field("Expansion", min_length=1, description="Sales team of our opportunities.")
    tag: str = Field(
        "Expansion", min_length=1, description="Tag of opportunities of humans that we adopt."
    )
    activity: str = Field("Expansion", min_length=1, description="Type of our activities.")
    fields: Mapping[Literal["account", "opportunity", "task"], Mapping[str, str]] = Field(
        {}, description="Our name = Odoo's field, by kind of object; an empty name leaves it out."
    )
    rows_per_call: int = Field(100, ge=1, le=1000, description="Rows in one call.")
    calls_per_minute: int | None = Field(
        None, ge=1, le=10_000, description="At most so many calls a minute; 60 for Odoo Online."
    )
    timeout_seconds: float = Field(60.0, gt=0, le=600, description="For one answer of Odoo's.")


class HubSpotConfig(ConfigSection):
    """HubSpot: see docs/guides/hubspot.md."""

    token: SecretStr | None = Field(
        None, description='Service key or private app token: "${HUBSPOT_TOKEN}".'
    )
    url: str = Field(
        "https://api.hubapi.com",
        pattern=r"^https?://[^/?#@]+$",
        description="Address of its API; another one stands in for tests.",
    )
    plan: Literal["free", "starter", "professional", "enterprise"] = Field(
        "professional", description="Sets how fast it may be asked: see HUBSPOT.md."
    )
    account_property: str = Field(
        "expansion_account_id",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Unique property of companies that holds account_id; accounts.crm_id goes"
        " first.",
    )
    create_companies: bool = Field(
        False, description="An account that no company matches gets a company of its own."
    )
    pipeline: str = Field(
        "Expansion", min_length=1, description="Deal pipeline of our opportunities, by its name."
    )
    stages: Mapping[
        Literal["open", "expanded", "relieved", "expired", "lapsed", "withdrawn"], str
    ] = Field({}, description="State = name of its deal stage, where the pipeline is your own.")
    timeout_seconds: float = Field(30.0, gt=0, le=600, description="For one answer of HubSpot's.")


class SalesforceConfig(ConfigSection):
    """Salesforce: see docs/guides/salesforce.md."""

    instance_url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@]+$",
        description="The org's own address (My Domain), e.g. https://acme.my.salesforce.com.",
    )
    client_id: SecretStr | None = Field(
        None, description='Consumer key of the connected app: "${SALESFORCE_CLIENT_ID}".'
    )
    client_secret: SecretStr | None = Field(
        None, description='Its consumer secret: "${SALESFORCE_CLIENT_SECRET}".'
    )
    access_token: SecretStr | None = Field(
        None, description='In place of both, a token fetched elsewhere: "${SALESFORCE_TOKEN}".'
    )
    api_version: str = Field("62.0", pattern=r"^\d\d\.0$", description="Of the REST API.")
    match: str = Field(
        "Expansion_Account_Id__c",
        pattern=r"^[A-Za-z]\w*$",
        description="Account's field that holds account_id; accounts.crm_id goes first.",
    )
    create_accounts: bool = Field(
        False, description="An account that no record matches gets a record of its own."
    )
    type: str = Field(
        "Expansion",
        description="Type of our opportunities, and of those of humans that we adopt; empty: none.",
    )
    record_type: str | None = Field(
        None, description="Developer name of their record type, which then decides in its place."
    )
    stage: str = Field(
        "Prospecting", min_length=1, description="Stage in which an opportunity is made."
    )
    close_days: int = Field(
        60, ge=1, le=720, description="It closes after so many days, where no date is expected."
    )
    task_status: str = Field("Not Started", min_length=1, description="In which a task is made.")
    task_priority: str = Field("Normal", min_length=1, description="With which a task is made.")
    fields: Mapping[Literal["account", "opportunity", "task"], Mapping[str, str]] = Field(
        {}, description="Our name = Salesforce's field, by kind; an empty name leaves it out."
    )
    daily_share: float = Field(
        0.5, gt=0, le=1, description="At this share of the org's requests of a day we stop."
    )
    rows_per_call: int = Field(200, ge=1, le=200, description="Records in one call.")
    timeout_seconds: float = Field(
        120.0, gt=0, le=600, description="For one answer of Salesforce's."
    )


class CrmConfig(ConfigSection):
    """Where the list goes."""

    name: Literal["sql", "odoo", "hubspot", "salesforce", "files"] = Field(
        "sql", description="Which CRM to write to."
    )
    url: str | None = Field(
        None, repr=False, description="SQLAlchemy URL; else crm.db in the state folder."
    )
    hold_first_run: bool = Field(
        True,
        description="The first list is only put down to be sent, and looked at; a human sends it"
        " with `expansion crm send`. Not of the CRM in our own database.",
    )
    max_writes: int | None = Field(
        None,
        ge=1,
        description="Objects written at most in one go, the best places first; else all.",
    )
    max_minutes: float = Field(
        30.0, gt=0, le=1440, description="Sending stops after so long; the next one goes on."
    )
    odoo: OdooConfig = OdooConfig()
    hubspot: HubSpotConfig = HubSpotConfig()
    salesforce: SalesforceConfig = SalesforceConfig()
    files: FilesConfig = FilesConfig()


class Episodes(ConfigSection):
    """When a stretch of pressure on a limit of an account has ended."""

    clear_after_days: int = Field(
        28, ge=1, le=360, description="No tier fires on that limit for so long: relieved."
    )
    expiry_days: int = Field(
        180, ge=7, le=720, description="Nothing came of it for so long: expired."
    )


class DigestConfig(ConfigSection):
    """What a CSM is sent on Monday."""

    accounts: int = Field(5, ge=1, le=10, description="So many accounts are told in full.")
    link: str | None = Field(
        None,
        pattern=r"^https?://[^\s<>\"]*\{account_id\}[^\s<>\"]*$",
        max_length=500,
        description="Where more about an account stands, with {account_id} in its place.",
    )


class Slack(ConfigSection):
    """Where digests and signals are posted: see docs/guides/slack.md."""

    bot_token: SecretStr | None = Field(None, description='"${SLACK_BOT_TOKEN}".')
    webhook_url: SecretStr | None = Field(
        None, description='In its place, for one channel: "${SLACK_WEBHOOK_URL}".'
    )
    channel: str | None = Field(
        None,
        pattern=r"^[A-Z0-9]{3,}$",
        description="Id of the channel for signals, and for whom no other is known.",
    )
    channels: Mapping[str, str] = Field(
        {}, description="CSM = id of a channel or user; else the user with the CSM's e-mail."
    )
    api_url: str = Field(
        "https://slack.com/api/",
        pattern=r"^https?://[^?#@]+/$",
        description="Address of its API; another one stands in for tests.",
    )
    timeout_seconds: int = Field(30, ge=1, le=600, description="For one answer of Slack's.")
