"""Odoo target: partners hold the list row; opportunities and activities hold the work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

from data.errors import SettingsError
from serving.delivery.crm import base
from serving.delivery.crm.odoo import activity, preflight, provision
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import OdooFieldMapping
from serving.delivery.crm.odoo.read import OdooReader
from serving.delivery.crm.odoo.write import OdooWriter

if TYPE_CHECKING:
    from data.config.delivery import OdooConfig
    from data.config.settings import Settings

__all__ = ["OdooTarget", "create_target"]


def create_target(settings: Settings) -> OdooTarget:
    """Create the Odoo target from the ``[crm.odoo]`` settings.

    Raises
    ------
    data.errors.SettingsError
        If the URL or the API key is not set.
    """
    config = settings.crm.odoo
    if config.url is None or config.api_key is None:
        raise SettingsError(
            'crm.odoo: expected url and api_key; write url = "https://…" and api_key ='
            ' "${ODOO_API_KEY}" under [crm.odoo], and export that variable.'
        )
    client = OdooClient(config.url, config.database, config.api_key.get_secret_value())
    return OdooTarget(client, config)


class OdooTarget:
    """Implementation of the CRM target for Odoo 19 or later, over its JSON-2 API."""

    name: Final = "odoo"

    def __init__(self, client: OdooClient, config: OdooConfig) -> None:
        self._client, self._config = client, config
        self._field_mapping = OdooFieldMapping.from_config(config)
        self._reader = OdooReader(client, self._field_mapping, config)
        self._writer = OdooWriter(client, self._field_mapping, self._reader, config)
        self.rate_limit = base.RateLimit(config.rows_per_call, config.calls_per_minute, 60.0)

    def normalize(self, kind: base.Kind, fields: base.Fields) -> dict[str, base.Value]:
        """Return values as Odoo returns them; 0 and false mean empty."""
        return self._field_mapping.normalize(kind, fields)

    def read(self, refs: Sequence[base.ObjectRef]) -> list[base.RemoteObject | None]:
        """Read records, including archived ones; see :mod:`serving.delivery.crm.odoo.read`."""
        return self._reader.read_objects(refs)

    def write(self, changes: Sequence[base.FieldChange]) -> list[base.WriteResult]:
        """Create new records, then update existing ones, one call each."""
        return self._writer.write_changes(changes)

    def preflight(self, accounts: Sequence[base.ObjectRef]) -> list[base.PreflightCheck]:
        """Check key, permissions, modules, fields, required records and partners."""
        return preflight.run_preflight(self._client, self._reader, accounts)

    def provision(self) -> list[str]:
        """Create fields, views, team, tag and activity type; needs an administrator's key."""
        return provision.provision_database(self._client, self._field_mapping, self._config)

    def fetch_human_touches(self, since: date) -> list[base.HumanTouch]:
        """Return completed activities and moved, won or lost opportunities, since a UTC day."""
        return activity.find_human_touches(self._client, since)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
