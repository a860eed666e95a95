"""HubSpot as the CRM: companies, deals and tasks. Setup: ``docs/guides/hubspot.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from data.errors import SettingsError
from serving.delivery.crm.base import RateLimit
from serving.delivery.crm.hubspot.client import API_URL, TIMEOUT_SECONDS, HubSpotClient
from serving.delivery.crm.hubspot.pipeline import StageMapping
from serving.delivery.crm.hubspot.target import HubSpotTarget

if TYPE_CHECKING:
    from data.config.settings import Settings

__all__ = ["HubSpotTarget", "create_target"]

# Calls per app in ten seconds, by plan.
_CALLS_PER_TEN_SECONDS: Final = {
    "free": 100,
    "starter": 100,
    "professional": 190,
    "enterprise": 190,
}


def create_target(
    settings: Settings, *, url: str = API_URL, timeout_seconds: float = TIMEOUT_SECONDS
) -> HubSpotTarget:
    """Create the HubSpot target from the ``[crm.hubspot]`` settings.

    Parameters
    ----------
    settings : data.config.settings.Settings
        All settings.
    url : str, optional
        Base URL of the API; a test server has another one.
    timeout_seconds : float, optional
        Timeout of one request.

    Raises
    ------
    data.errors.SettingsError
        If the access token is not set.
    """
    config = settings.crm.hubspot
    if config.token is None:
        raise SettingsError(
            'crm.hubspot: expected a token; write token = "${HUBSPOT_TOKEN}" under [crm.hubspot],'
            " and export that variable."
        )
    rate_limit = RateLimit(
        rows_per_call=100, max_calls=_CALLS_PER_TEN_SECONDS[config.plan], window_seconds=10.0
    )
    client = HubSpotClient(
        config.token.get_secret_value(),
        url,
        rate_limit=rate_limit,
        timeout_seconds=timeout_seconds,
    )
    return HubSpotTarget(
        client,
        rate_limit=rate_limit,
        stages=StageMapping.from_config(config.pipeline, dict(config.stages.items())),
        account_property=config.account_property,
        create_companies=config.create_companies,
    )
