"""HubSpot as the CRM: companies, deals, tasks. What its admin does: ``HUBSPOT.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from data.errors import SettingsError
from serving.crm.hubspot.door import Door
from serving.crm.hubspot.pipeline import Stages
from serving.crm.hubspot.target import HubSpot
from serving.crm.target import Pace

if TYPE_CHECKING:
    from data.settings import Settings

__all__ = ["HubSpot", "target"]

# Calls that one app may make in ten seconds, by plan.
_CALLS: Final = {"free": 100, "starter": 100, "professional": 190, "enterprise": 190}


def target(settings: Settings) -> HubSpot:
    """Open HubSpot as ``[crm.hubspot]`` says.

    Raises
    ------
    data.errors.SettingsError
        If the key is not set.
    """
    told = settings.crm.hubspot
    if told.token is None:
        raise SettingsError(
            'crm.hubspot: expected a token; write token = "${HUBSPOT_TOKEN}" under [crm.hubspot],'
            " and export that variable."
        )
    pace = Pace(rows_per_call=100, calls=_CALLS[told.plan], per_seconds=10.0)
    door = Door(
        told.token.get_secret_value(), told.url, pace=pace, timeout_seconds=told.timeout_seconds
    )
    return HubSpot(
        door,
        pace=pace,
        stages=Stages.of(told.pipeline, dict(told.stages.items())),
        account_property=told.account_property,
        make_companies=told.make_companies,
    )
