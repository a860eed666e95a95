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

from data.config.settings import WebhooksConfig
from serving.events.ingest.handler import WebhookHandler, WebhookResponse
from serving.events.ingest.writer import EventWriter

__all__ = ["WebhookMiddleware"]

_SOURCES: Final = {"/webhooks/segment": "segment", "/webhooks/generic": "generic"}
_BODY_TIMEOUT_SECONDS: Final = 20.0
_MAX_BODY_BYTES: Final = 512 * 1024
_BODY_TOO_LARGE: Final = WebhookResponse(
    413, {"error": f"expected at most {_MAX_BODY_BYTES:,} bytes"}
)
_SENDER_DISCONNECTED: Final = WebhookResponse(400, {"error": "the sender disconnected"})


class WebhookMiddleware:
    """Serves ``POST /webhooks/segment`` and ``/webhooks/generic``; passes on everything else.

    Its event writer starts and stops with the app's lifespan.
    """

    def __init__(self, app: ASGIApp, settings: WebhooksConfig, engine: sa.Engine) -> None:
        self.app = app
        self._settings, self._engine = settings, engine
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
    headers = Headers(scope=scope)
    rejection = _reject_by_headers(scope["method"], headers)
    if rejection is not None:
        return rejection
    try:
        body = await asyncio.wait_for(_read_body(receive), _BODY_TIMEOUT_SECONDS)
    except TimeoutError:
        return WebhookResponse(408, {"error": "the request body did not arrive in time"})
    except ConnectionError:
        return _SENDER_DISCONNECTED
    if body is None:
        return _BODY_TOO_LARGE
    return await handler.handle(_SOURCES[scope["path"]], headers, body, datetime.now(UTC))


def _reject_by_headers(method: str, headers: Headers) -> WebhookResponse | None:
    """Reject a request by its method or headers, before the body is read."""
    if method != "POST":
        return WebhookResponse(405, {"error": "expected POST"})
    if headers.get("content-encoding", "identity") != "identity":
        return WebhookResponse(415, {"error": "expected an uncompressed body"})
    declared = headers.get("content-length", "0")
    is_too_large = declared.isdecimal() and int(declared[:20]) > _MAX_BODY_BYTES
    return _BODY_TOO_LARGE if is_too_large else None


async def _read_body(receive: Receive) -> bytes | None:
    """Return the raw body, or None as soon as it exceeds the limit."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        part = message.get("body", b"")
        size += len(part)
        if size > _MAX_BODY_BYTES:
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
