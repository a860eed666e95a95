"""One sender at work on a real Odoo, as a process that can be killed: see test_sender.py.

Arguments: URL of the state database, URL of Odoo, its database, and after how many halves of a
request this process ends itself, as a killed one would. The key is in ``ODOO_API_KEY``.
"""

import os
import signal
import sys
from datetime import UTC, datetime

import httpx

from serving import store
from serving.delivery.crm.base import RateLimit
from serving.delivery.crm.odoo import OdooTarget
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import OdooFieldMapping
from serving.delivery.reconcile import sender


class Deadly(httpx.BaseTransport):
    """Kills its own process before a request has left, or after its answer has come."""

    def __init__(self, halves: int) -> None:
        self._left, self._wire = halves, httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._count()
        answer = self._wire.handle_request(request)
        answer.read()
        self._count()
        return answer

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(database: str, url: str, name: str, halves: str) -> None:
    engine = store.open_engine(database)
    client = OdooClient(url, name, os.environ["ODOO_API_KEY"], transport=Deadly(int(halves)))
    target = OdooTarget(
        client,
        OdooFieldMapping.from_config({}, create_partners=False),
        rate_limit=RateLimit(rows_per_call=20),
    )
    sent = sender.send_pending(engine, target, now=datetime.now(UTC))
    assert sent.words is None, sent.words


if __name__ == "__main__":
    main(*sys.argv[1:])
