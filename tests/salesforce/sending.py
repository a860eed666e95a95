"""A sender in a process of its own, to be killed: ``python sending.py DATABASE FOLDER URL``."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from serving import state
from serving.crm.salesforce.client import Client, Login
from serving.crm.salesforce.making import Making
from serving.crm.salesforce.names import Names
from serving.crm.salesforce.target import Salesforce
from serving.outbox.sender import send
from tests.salesforce.company import MONDAY
from tests.salesforce.server import CLIENT


def main(database: str, folder: str, url: str, rows: str) -> None:
    target = Salesforce(
        Client(Login(url, *CLIENT), timeout_seconds=20),
        Names.of({}, make_accounts=False),
        folder=Path(folder),
        today=lambda: MONDAY,
        making=Making(),
        rows_per_call=int(rows),
    )
    now = datetime.now(UTC)
    send(state.open(database), target, now=now, sleep=lambda _: time.sleep(0.001))


if __name__ == "__main__":
    main(*sys.argv[1:])
