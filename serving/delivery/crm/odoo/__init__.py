"""Odoo as the CRM: partners, opportunities, activities. Setup: ``docs/guides/odoo.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.errors import SettingsError
from serving.delivery.crm.base import RateLimit
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import OdooFieldMapping
from serving.delivery.crm.odoo.target import OdooTarget

if TYPE_CHECKING:
    import httpx

    from data.config.settings import Settings

__all__ = ["OdooTarget", "create_target"]


def create_target(settings: Settings, transport: httpx.BaseTransport | None = None) -> OdooTarget:
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
    client = OdooClient(
        config.url,
        config.database,
        config.api_key.get_secret_value(),
        transport=transport,
    )
    return OdooTarget(
        client,
        OdooFieldMapping.from_config(config.fields, create_partners=config.create_partners),
        match_field=config.match,
        team=config.team,
        tag=config.tag,
        activity_type=config.activity,
        create_partners=config.create_partners,
        rate_limit=RateLimit(config.rows_per_call, config.calls_per_minute, 60.0),
    )
