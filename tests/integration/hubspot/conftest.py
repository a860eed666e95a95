"""A fake HubSpot portal on this machine, and the target connected to it."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from data.config.settings import Settings
from serving.delivery.crm import hubspot
from serving.delivery.crm.base import RateLimit
from serving.delivery.crm.hubspot import HubSpotTarget
from serving.delivery.crm.hubspot.client import HubSpotClient
from tests.fakes.hubspot.server import TOKEN, HubSpotServer

# Adds one company per account id, as an administrator's import does.
AddCompanies = Callable[[int], dict[str, str]]


@pytest.fixture
def service() -> Iterator[HubSpotServer]:
    with HubSpotServer() as running:
        yield running
    assert running.contract_violations == []  # all requests follow HubSpot's contract


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Return a factory of HubSpot settings."""

    def build_settings(**options: Any) -> Settings:
        crm = {"token": TOKEN, **options}
        return Settings.model_validate({"crm": {"name": "hubspot", "hubspot": crm}})

    return build_settings


@pytest.fixture
def open_target(
    service: HubSpotServer, settings: Callable[..., Settings]
) -> Iterator[Callable[..., HubSpotTarget]]:
    """Return a factory of targets of this portal, and close them afterwards."""
    targets: list[HubSpotTarget] = []

    def open_one(
        url: str = service.url, timeout_seconds: float = 30.0, **options: Any
    ) -> HubSpotTarget:
        targets.append(
            hubspot.create_target(settings(**options), url=url, timeout_seconds=timeout_seconds)
        )
        return targets[-1]

    yield open_one
    for target in targets:
        target.close()


@pytest.fixture
def target(open_target: Callable[..., HubSpotTarget]) -> HubSpotTarget:
    """Return a target of a provisioned portal."""
    provisioned = open_target()
    provisioned.provision()
    return provisioned


@pytest.fixture
def client(service: HubSpotServer) -> Iterator[HubSpotClient]:
    """Return an API client of this portal."""
    opened = HubSpotClient(TOKEN, service.url, rate_limit=RateLimit(100), timeout_seconds=30.0)
    yield opened
    opened.close()


@pytest.fixture
def add_companies(service: HubSpotServer) -> AddCompanies:
    """Return a function that adds companies with account ids: account id → record id."""

    def add_companies(accounts: int) -> dict[str, str]:
        keys = [f"acc_{number:05}" for number in range(1, accounts + 1)]
        return {
            key: service.portal.create("companies", {"name": key, "expansion_account_id": key})
            for key in keys
        }

    return add_companies


os.environ.setdefault("NO_PROXY", "127.0.0.1")
