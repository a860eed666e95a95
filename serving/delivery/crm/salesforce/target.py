"""Salesforce target: accounts hold the list row; opportunities and tasks hold the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from data.errors import SettingsError
from serving.delivery.crm import base
from serving.delivery.crm.salesforce import activity, preflight, provision
from serving.delivery.crm.salesforce.client import SalesforceClient
from serving.delivery.crm.salesforce.create import OwnerLookup, SalesforceRecordFactory
from serving.delivery.crm.salesforce.field_mapping import SalesforceFieldMapping
from serving.delivery.crm.salesforce.read import SalesforceReader
from serving.delivery.crm.salesforce.write import SalesforceWriter

if TYPE_CHECKING:
    from data.config.delivery import SalesforceConfig
    from data.config.settings import Settings

__all__ = ["SalesforceTarget", "create_target"]

_LOCAL_HOSTS: Final = {"localhost", "127.0.0.1", "::1"}


def create_target(settings: Settings) -> SalesforceTarget:
    """Create the Salesforce target from the ``[crm.salesforce]`` settings, without any request.

    Raises
    ------
    data.errors.SettingsError
        If the instance URL or the credentials are not set, or an unknown field is mapped.
    """
    config = settings.crm.salesforce
    has_credentials = config.access_token or (config.client_id and config.client_secret)
    if config.instance_url is None or not has_credentials:
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
    return SalesforceTarget(
        SalesforceClient(config),
        config,
        folder=settings.state_folder / "salesforce",
        today=lambda: datetime.now(UTC).date(),
    )


class SalesforceTarget:
    """Implementation of the CRM target for one Salesforce org, over its REST API.

    ``provision`` writes the metadata package to ``folder``; default close dates are counted from
    ``today``, a UTC day.
    """

    name: Final = "salesforce"

    def __init__(
        self,
        client: SalesforceClient,
        config: SalesforceConfig,
        *,
        folder: Path,
        today: Callable[[], date],
    ) -> None:
        self._client, self._config, self._folder = client, config, folder
        self._field_mapping = SalesforceFieldMapping.from_config(config)
        # Salesforce limits requests per day, not per second.
        self.rate_limit = base.RateLimit(config.rows_per_call)
        self._reader = SalesforceReader(client, self._field_mapping, config)
        csm_field = self._field_mapping.fields["account"].get("csm")
        owners = OwnerLookup(client, csm_field.name if csm_field else None)
        factory = SalesforceRecordFactory(client, self._reader, owners, config, today)
        self._writer = SalesforceWriter(client, self._field_mapping, self._reader, factory)

    def normalize(self, kind: base.Kind, fields: base.Fields) -> dict[str, base.Value]:
        """Return values as Salesforce returns them; see ``field_mapping``."""
        return self._field_mapping.normalize(kind, fields)

    def read(self, refs: Sequence[base.ObjectRef]) -> list[base.RemoteObject | None]:
        """Read records; see :mod:`serving.delivery.crm.salesforce.read`."""
        return self._reader.read_objects(refs)

    def write(self, changes: Sequence[base.FieldChange]) -> list[base.WriteResult]:
        """Update existing records and create missing ones, one call each."""
        return self._writer.write_changes(changes)

    def preflight(self, accounts: Sequence[base.ObjectRef]) -> list[base.PreflightCheck]:
        """Check login, daily requests, permissions, fields, picklists, accounts and owners."""
        return preflight.run_preflight(self._client, self._reader, accounts)

    def provision(self) -> list[str]:
        """Write the metadata package if fields are missing, for an administrator to deploy."""
        if not preflight.find_missing_fields(self._client, self._field_mapping):
            return []
        return provision.write_package(self._folder, self._field_mapping, self._config)

    def fetch_human_touches(self, since: date) -> list[base.HumanTouch]:
        """Return completed tasks and moved, won or lost opportunities, since a UTC day."""
        return activity.find_human_touches(self._client, since)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
