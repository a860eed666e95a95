"""A sender in a process of its own, which can be killed: database, address of the portal."""

import sys
from datetime import UTC, datetime

from hubspot_portal.service import TOKEN

from data.config.settings import Settings
from serving import store
from serving.delivery.crm import hubspot
from serving.delivery.reconcile.sender import send_pending


def main() -> None:
    """Send once; the pauses between tries are short, for the portal's bad days are."""
    database, url = sys.argv[1:]
    crm = {"name": "hubspot", "hubspot": {"token": TOKEN, "url": url, "timeout_seconds": 1.0}}
    target = hubspot.create_target(Settings.model_validate({"crm": crm}))
    engine = store.open_engine(database)
    sent = send_pending(engine, target, now=datetime.now(UTC), sleep=lambda _: None)
    sys.exit(0 if sent.left == 0 else 3)


if __name__ == "__main__":
    main()
