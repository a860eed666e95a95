"""Sender in its own process, to be killed: ``python -m <module> DATABASE FOLDER URL ROWS``."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from serving import store
from serving.delivery.reconcile.sender import send_pending
from tests.integration.salesforce.company import build_target


def main(database: str, folder: str, url: str, rows: str) -> None:
    target = build_target(url, Path(folder), rows_per_call=int(rows))
    now = datetime.now(UTC)
    send_pending(store.open_engine(database), target, now=now, sleep=lambda _: time.sleep(0.001))


if __name__ == "__main__":
    main(*sys.argv[1:])
