"""Webhook server for tests, and access to its database."""

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

from data.config.settings import WebhooksConfig
from serving import store
from serving.events.ingest import asgi
from serving.store.event_schema import QUARANTINE, WEBHOOK_EVENTS

SECRET = "a long shared secret"  # noqa: S105


def sign_body(body: bytes, source: str) -> dict[str, str]:
    """Return the headers by which a source proves that it knows the secret."""
    if source == "generic":
        return {"x-webhook-secret": SECRET}
    return {"x-signature": hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()}


@dataclass(frozen=True)
class WebhookServer:
    """A running server and its database."""

    client: httpx.Client
    engine: sa.Engine

    def post_message(self, message: Any, source: str = "generic", **headers: str) -> httpx.Response:
        """Post a message with valid credentials, or with these headers instead."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return self.client.post(
            f"/webhooks/{source}",
            content=body,
            headers=headers or sign_body(body, source),
        )

    def load_rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with store.read_transaction(self.engine) as connection:
            result = connection.execute(sa.select(table).order_by(table.c.id)).mappings()
            return [dict(row) for row in result]

    def load_events(self) -> list[dict[str, Any]]:
        return self.load_rows(WEBHOOK_EVENTS)

    def load_quarantine(self) -> list[dict[str, Any]]:
        return self.load_rows(QUARANTINE)


def create_webhook_app(engine: sa.Engine, **webhooks: Any) -> FastAPI:
    app = FastAPI()
    options = {"segment_secret": SECRET, "generic_secret": SECRET, **webhooks}
    settings = WebhooksConfig.model_validate(options)
    app.add_middleware(asgi.WebhookMiddleware, settings=settings, engine=engine)
    return app


@contextmanager
def run_server(app: FastAPI) -> Iterator[httpx.Client]:
    """Run a real server of the app on a free port, and yield a client."""
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
