"""A HubSpot portal on this machine, and our target before it."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parent))

from hubspot_portal.service import TOKEN, Service

from data.config.settings import Settings
from serving import store
from serving.delivery.crm import hubspot
from serving.delivery.crm.hubspot import HubSpotTarget

# One test company for every account id, as an admin's import would have left them.
Enter = Callable[[int], dict[str, str]]


@pytest.fixture
def service() -> Iterator[Service]:
    served = Service()
    served.start()
    yield served
    served.stop()
    assert served.wrong == []  # nothing was asked that HubSpot's contract does not know


@pytest.fixture
def settings(service: Service) -> Callable[..., Settings]:
    """Settings of a company that uses this portal."""

    def told(**more: Any) -> Settings:
        crm = {"token": TOKEN, "url": service.url, "timeout_seconds": 30.0, **more}
        return Settings.model_validate({"crm": {"name": "hubspot", "hubspot": crm}})

    return told


@pytest.fixture
def opened(settings: Callable[..., Settings]) -> Iterator[Callable[..., HubSpotTarget]]:
    """Opens the target, and closes what was opened."""
    targets: list[HubSpotTarget] = []

    def open_(**more: Any) -> HubSpotTarget:
        targets.append(hubspot.create_target(settings(**more)))
        return targets[-1]

    yield open_
    for target in targets:
        target.close()


@pytest.fixture
def target(opened: Callable[..., HubSpotTarget]) -> HubSpotTarget:
    """The target of a portal that was set up."""
    made = opened()
    made.provision()
    return made


@pytest.fixture
def enter(service: Service) -> Enter:
    """Lets the portal's people enter companies that carry account ids: id → HubSpot's name."""

    def entered(accounts: int) -> dict[str, str]:
        keys = [f"acc_{place:05}" for place in range(1, accounts + 1)]
        return {
            key: service.portal.make("companies", {"name": key, "expansion_account_id": key})
            for key in keys
        }

    return entered


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty database of the delivery's."""
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    yield engine
    engine.dispose()


os.environ.setdefault("NO_PROXY", "127.0.0.1")
