"""Fixtures: a webhook server on an empty database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import store
from tests.integration.events.webhook_client import WebhookServer, create_webhook_app, run_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebhookServer]:
    """Yield a webhook server on an empty database."""
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    with run_server(create_webhook_app(engine)) as client:
        yield WebhookServer(client, engine)
    engine.dispose()
