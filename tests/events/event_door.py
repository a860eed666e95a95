"""A server of webhooks, and what its database holds."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from data.config.settings import Settings
from serving import store
from serving.events.ingest import asgi
from serving.store.event_schema import QUARANTINE, WEBHOOK_EVENTS

SECRET = "a long shared secret"  # noqa: S105
SETTINGS: dict[str, Any] = {
    "webhooks": {"segment_secret": SECRET, "generic_secret": SECRET},
}


@dataclass(frozen=True)
class Door:
    """A running server, and what its database holds."""

    client: httpx.Client
    engine: sa.Engine

    def send(self, message: Any, source: str = "generic", **headers: str) -> httpx.Response:
        """Send something with the right secret, or with these headers in its place."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        signed = {
            "segment": {"X-Signature": hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()},
            "generic": {"X-Webhook-Secret": SECRET},
        }
        return self.client.post(
            f"/webhooks/{source}",
            content=body,
            headers=headers or signed[source],
        )

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with store.read_transaction(self.engine) as connection:
            found = connection.execute(sa.select(table).order_by(table.c.id)).mappings()
            return [dict(row) for row in found]

    def arrivals(self) -> list[dict[str, Any]]:
        return self.rows(WEBHOOK_EVENTS)

    def quarantine(self) -> list[dict[str, Any]]:
        return self.rows(QUARANTINE)


def served(engine: sa.Engine, **webhooks: Any) -> FastAPI:
    app = FastAPI()
    told = {**SETTINGS["webhooks"], **webhooks}
    settings = Settings.model_validate({"webhooks": told})
    app.add_middleware(asgi.WebhookMiddleware, settings=settings, engine=engine)
    return app


@contextmanager
def running(app: FastAPI) -> Iterator[httpx.Client]:
    """A real server of the app, on a free port, and a client of it."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client
    server.should_exit = True
    thread.join(10)
