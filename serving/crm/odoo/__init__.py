"""Odoo as the CRM: partners, opportunities, activities. What its admin does: ``ODOO.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.errors import SettingsError
from serving.crm.odoo.client import Client
from serving.crm.odoo.names import Names
from serving.crm.odoo.target import Odoo
from serving.crm.target import Pace

if TYPE_CHECKING:
    import httpx

    from data.settings import Settings

__all__ = ["Odoo", "target"]


def target(settings: Settings, transport: httpx.BaseTransport | None = None) -> Odoo:
    """Open Odoo as ``[crm.odoo]`` says.

    Raises
    ------
    data.errors.SettingsError
        If the address or the key is not set.
    """
    told = settings.crm.odoo
    if told.url is None or told.api_key is None:
        raise SettingsError(
            'crm.odoo: expected url and api_key; write url = "https://…" and api_key ='
            ' "${ODOO_API_KEY}" under [crm.odoo], and export that variable.'
        )
    client = Client(
        told.url,
        told.database,
        told.api_key.get_secret_value(),
        timeout_seconds=told.timeout_seconds,
        transport=transport,
    )
    return Odoo(
        client,
        Names.of(told.fields, make_partners=told.make_partners),
        match=told.match,
        team=told.team,
        tag=told.tag,
        activity=told.activity,
        make_partners=told.make_partners,
        pace=Pace(told.rows_per_call, told.calls_per_minute, 60.0),
    )
