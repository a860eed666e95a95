"""Sender in its own process, which can be killed; arguments: database and portal URL."""

import sys
from datetime import UTC, datetime

from data.config.settings import Settings
from serving import store
from serving.delivery.crm import hubspot
from serving.delivery.reconcile.sender import send_pending
from tests.fakes.hubspot.server import TOKEN


def main() -> None:
    """Send once, without delays between retries."""
    database, url = sys.argv[1:]
    crm = {"name": "hubspot", "hubspot": {"token": TOKEN}}
    settings = Settings.model_validate({"crm": crm})
    target = hubspot.create_target(settings, url=url, timeout_seconds=1.0)
    engine = store.open_engine(database)
    summary = send_pending(engine, target, now=datetime.now(UTC), sleep=lambda _: None)
    sys.exit(0 if summary.remaining == 0 else 3)


if __name__ == "__main__":
    main()
