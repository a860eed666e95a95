"""ASGI middleware that serves the webhook routes and passes all other requests to the app.

These are not FastAPI routes: at a thousand events a second, routing, dependency injection and
validation would dominate the cost.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from data.config.settings import Settings
from serving.events.ingest.handler import WebhookHandler, WebhookResponse
from serving.events.ingest.writer import EventWriter

__all__ = ["WebhookMiddleware"]

_SOURCES: Final = {"/webhooks/segment": "segment", "/webhooks/generic": "generic"}
_BODY_TIMEOUT_SECONDS: Final = 20.0
_SENDER_DISCONNECTED: Final = WebhookResponse(400, {"error": "the sender disconnected"})


class WebhookMiddleware:
    """Serves ``POST /webhooks/segment`` and ``/webhooks/generic``; passes on everything else.

    Its event writer starts and stops with the app's lifespan.

    Parameters
    ----------
    app : starlette.types.ASGIApp
        The wrapped app.
    settings : data.config.settings.Settings
        Secrets, payload formats and limits.
    engine : sqlalchemy.Engine
        The application database, its schema up to date.
    """

    def __init__(self, app: ASGIApp, settings: Settings, engine: sa.Engine) -> None:
        self.app = app
        self._settings, self._engine = settings.webhooks, engine
        self._handler: WebhookHandler | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a webhook, or pass the request on."""
        if scope["type"] == "lifespan":
            writer = EventWriter(self._engine)
            self._handler = WebhookHandler(self._settings, writer)
            try:
                await self.app(scope, receive, send)
            finally:
                writer.close()
        elif scope["type"] == "http" and scope["path"] in _SOURCES and self._handler:
            await _send_response(await _handle_request(self._handler, scope, receive), send)
        else:
            await self.app(scope, receive, send)


async def _handle_request(
    handler: WebhookHandler, scope: Scope, receive: Receive
) -> WebhookResponse:
    headers, max_bytes = Headers(scope=scope), handler.max_body_bytes
    rejection = _reject_by_headers(scope["method"], headers, max_bytes)
    if rejection is not None:
        return rejection
    try:
        body = await asyncio.wait_for(_read_body(receive, max_bytes), _BODY_TIMEOUT_SECONDS)
    except TimeoutError:
        return WebhookResponse(408, {"error": "the request body did not arrive in time"})
    except ConnectionError:
        return _SENDER_DISCONNECTED
    if body is None:
        return _reject_body_size(max_bytes)
    return await handler.handle(_SOURCES[scope["path"]], headers, body, datetime.now(UTC))


def _reject_by_headers(method: str, headers: Headers, max_bytes: int) -> WebhookResponse | None:
    """Reject a request by its method or headers, before the body is read."""
    if method != "POST":
        return WebhookResponse(405, {"error": "expected POST"})
    if headers.get("content-encoding", "identity") != "identity":
        return WebhookResponse(415, {"error": "expected an uncompressed body"})
    declared = headers.get("content-length", "0")
    return (
        _reject_body_size(max_bytes)
        if declared.isdecimal() and int(declared[:20]) > max_bytes
        else None
    )


def _reject_body_size(max_bytes: int) -> WebhookResponse:
    return WebhookResponse(413, {"error": f"expected at most {max_bytes:,} bytes"})


async def _read_body(receive: Receive, max_bytes: int) -> bytes | None:
    """Return the raw body, or None as soon as it exceeds the limit."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _send_response(response: WebhookResponse, send: Send) -> None:
    body = json.dumps(response.body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if response.status == 503:
        headers.append((b"retry-after", b"2"))
    if response.status in {408, 413}:  # the rest of the body is not read
        headers.append((b"connection", b"close"))
    if response.status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
