"""Salesforce as the CRM: accounts, opportunities, tasks. Setup: ``docs/guides/salesforce.md``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from data.errors import SettingsError
from serving.delivery.crm.salesforce.client import SalesforceClient, SalesforceCredentials
from serving.delivery.crm.salesforce.create import CreateOptions
from serving.delivery.crm.salesforce.field_mapping import SalesforceFieldMapping
from serving.delivery.crm.salesforce.target import SalesforceTarget

if TYPE_CHECKING:
    from data.config.delivery import SalesforceConfig as Section
    from data.config.settings import Settings

__all__ = ["SalesforceTarget", "create_target"]

_LOCAL_HOSTS: Final = {"localhost", "127.0.0.1", "::1"}


def create_target(settings: Settings) -> SalesforceTarget:
    """Create the Salesforce target from the ``[crm.salesforce]`` settings, without any request.

    Raises
    ------
    data.errors.SettingsError
        If the instance URL or the credentials are not set.
    """
    config = settings.crm.salesforce
    client = SalesforceClient(
        _build_credentials(config),
        daily_share=config.daily_share,
    )
    create_options = CreateOptions(
        stage=config.stage,
        type=config.type or None,
        record_type=config.record_type,
        close_days=config.close_days,
        status=config.task_status,
        priority=config.task_priority,
        create_accounts=config.create_accounts,
    )
    return SalesforceTarget(
        client,
        SalesforceFieldMapping.from_config(config.fields, create_accounts=config.create_accounts),
        folder=settings.state_folder / "salesforce",
        today=lambda: datetime.now(UTC).date(),
        match_field=config.match,
        create_options=create_options,
        rows_per_call=config.rows_per_call,
    )


def _build_credentials(config: Section) -> SalesforceCredentials:
    token, secret = config.access_token, config.client_secret
    if config.instance_url is None or not (token or (config.client_id and secret)):
        raise SettingsError(
            "crm.salesforce: expected instance_url, client_id and client_secret; write instance_url"
            ' = "https://….my.salesforce.com", client_id = "${SALESFORCE_CLIENT_ID}" and'
            ' client_secret = "${SALESFORCE_CLIENT_SECRET}" under [crm.salesforce], and export both'
            " variables."
        )
    address = urlsplit(config.instance_url)
    if address.scheme == "http" and address.hostname not in _LOCAL_HOSTS:
        raise SettingsError(
            f"crm.salesforce.instance_url: expected https://, found http://{address.netloc}, which"
            " would send the secret unencrypted."
        )
    return SalesforceCredentials(
        config.instance_url,
        config.client_id.get_secret_value() if config.client_id else None,
        secret.get_secret_value() if secret else None,
        token.get_secret_value() if token else None,
    )
