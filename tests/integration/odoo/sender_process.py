"""Sender for a real Odoo in its own process, which can be killed; see test_sender.py.

Arguments: URL of the state database, URL of Odoo, its database, and the number of half requests
after which the process kills itself. The API key is in ``ODOO_API_KEY``.
"""

import os
import signal
import sys
from datetime import UTC, datetime

import httpx

from data.config.delivery import OdooConfig
from serving import store
from serving.delivery.crm.odoo import OdooTarget
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.reconcile import sender


class SelfKillingTransport(httpx.BaseTransport):
    """Transport that kills its process before a request is sent or after its response."""

    def __init__(self, half_requests: int) -> None:
        self._remaining, self._transport = half_requests, httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._count()
        response = self._transport.handle_request(request)
        response.read()
        self._count()
        return response

    def _count(self) -> None:
        self._remaining -= 1
        if self._remaining == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(database: str, url: str, name: str, half_requests: str) -> None:
    engine = store.open_engine(database)
    client = OdooClient(
        url, name, os.environ["ODOO_API_KEY"], transport=SelfKillingTransport(int(half_requests))
    )
    target = OdooTarget(client, OdooConfig(rows_per_call=20))
    summary = sender.send_pending(engine, target, now=datetime.now(UTC))
    assert summary.stop_reason is None, summary.stop_reason


if __name__ == "__main__":
    main(*sys.argv[1:])
