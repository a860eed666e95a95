"""Sender in its own process, to be killed: ``python -m <module> DATABASE FOLDER URL ROWS``."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from serving import store
from serving.delivery.crm.salesforce.client import SalesforceClient, SalesforceCredentials
from serving.delivery.crm.salesforce.create import CreateOptions
from serving.delivery.crm.salesforce.field_mapping import SalesforceFieldMapping
from serving.delivery.crm.salesforce.target import SalesforceTarget
from serving.delivery.reconcile.sender import send_pending
from tests.fakes.salesforce.server import CLIENT
from tests.integration.salesforce.company import MONDAY


def main(database: str, folder: str, url: str, rows: str) -> None:
    target = SalesforceTarget(
        SalesforceClient(SalesforceCredentials(url, *CLIENT), timeout_seconds=20),
        SalesforceFieldMapping.from_config({}, create_accounts=False),
        folder=Path(folder),
        today=lambda: MONDAY,
        create_options=CreateOptions(),
        rows_per_call=int(rows),
    )
    now = datetime.now(UTC)
    send_pending(store.open_engine(database), target, now=now, sleep=lambda _: time.sleep(0.001))


if __name__ == "__main__":
    main(*sys.argv[1:])
