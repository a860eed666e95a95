"""Salesforce as the CRM: accounts, opportunities, tasks. What its admin does: ``SALESFORCE.md``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from data.errors import SettingsError
from serving.crm.salesforce.client import Client, Login
from serving.crm.salesforce.making import Making
from serving.crm.salesforce.names import Names
from serving.crm.salesforce.target import Salesforce

if TYPE_CHECKING:
    from data.delivery import Salesforce as Section
    from data.settings import Settings

__all__ = ["Salesforce", "target"]

_HERE: Final = {"localhost", "127.0.0.1", "::1"}


def target(settings: Settings) -> Salesforce:
    """Open Salesforce as ``[crm.salesforce]`` says; nothing is asked yet.

    Raises
    ------
    data.errors.SettingsError
        If the address or the login is not set.
    """
    told = settings.crm.salesforce
    client = Client(
        _login(told),
        version=told.api_version,
        daily_share=told.daily_share,
        timeout_seconds=told.timeout_seconds,
    )
    making = Making(
        stage=told.stage,
        type=told.type or None,
        record_type=told.record_type,
        close_days=told.close_days,
        status=told.task_status,
        priority=told.task_priority,
        accounts=told.make_accounts,
    )
    return Salesforce(
        client,
        Names.of(told.fields, make_accounts=told.make_accounts),
        folder=settings.state_folder / "salesforce",
        today=lambda: datetime.now(UTC).date(),
        match=told.match,
        making=making,
        rows_per_call=told.rows_per_call,
    )


def _login(told: Section) -> Login:
    token, secret = told.access_token, told.client_secret
    if told.instance_url is None or not (token or (told.client_id and secret)):
        raise SettingsError(
            "crm.salesforce: expected instance_url, client_id and client_secret; write instance_url"
            ' = "https://….my.salesforce.com", client_id = "${SALESFORCE_CLIENT_ID}" and'
            ' client_secret = "${SALESFORCE_CLIENT_SECRET}" under [crm.salesforce], and export both'
            " variables."
        )
    where = urlsplit(told.instance_url)
    if where.scheme == "http" and where.hostname not in _HERE:
        raise SettingsError(
            f"crm.salesforce.instance_url: expected https://, found http://{where.netloc}; a secret"
            " does not travel in the clear."
        )
    return Login(
        told.instance_url,
        told.client_id.get_secret_value() if told.client_id else None,
        secret.get_secret_value() if secret else None,
        token.get_secret_value() if token else None,
    )
