"""The webhooks in front of an ASGI app: what is not theirs goes on to it.

Not routes of the app itself: a thousand events a second are to be taken, and nothing of them is for
a framework to match, inject or validate.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from data.settings import Settings
from serving.events.intake import Answer, Intake
from serving.events.store import Store

__all__ = ["Hooks"]

_SOURCES: Final = {"/webhooks/segment": "segment", "/webhooks/generic": "generic"}
_SLOWEST_SECONDS: Final = 20.0
_GONE: Final = Answer(400, {"error": "the sender left"})


class Hooks:
    """Takes ``POST /webhooks/segment`` and ``/webhooks/generic``; all else is the app's.

    Its store opens and closes with the app.

    Parameters
    ----------
    app : starlette.types.ASGIApp
        What it stands in front of.
    settings : data.settings.Settings
        Secrets, shapes and limits.
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    """

    def __init__(self, app: ASGIApp, settings: Settings, engine: sa.Engine) -> None:
        self.app = app
        self._settings, self._engine = settings.webhooks, engine
        self._intake: Intake | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand it on."""
        if scope["type"] == "lifespan":
            store = Store(self._engine)
            self._intake = Intake(self._settings, store)
            try:
                await self.app(scope, receive, send)
            finally:
                store.close()
        elif scope["type"] == "http" and scope["path"] in _SOURCES and self._intake:
            await _said(await _taken(self._intake, scope, receive), send)
        else:
            await self.app(scope, receive, send)


async def _taken(intake: Intake, scope: Scope, receive: Receive) -> Answer:
    headers, most = Headers(scope=scope), intake.most_bytes
    refusal = _refusal(scope["method"], headers, most)
    if refusal is not None:
        return refusal
    try:
        body = await asyncio.wait_for(_body(receive, most), _SLOWEST_SECONDS)
    except TimeoutError:
        return Answer(408, {"error": "it took too long to arrive"})
    except ConnectionError:
        return _GONE
    if body is None:
        return _too_long(most)
    return await intake.take(_SOURCES[scope["path"]], headers, body, datetime.now(UTC))


def _refusal(method: str, headers: Headers, most: int) -> Answer | None:
    """Refuse by its head what need not be read."""
    if method != "POST":
        return Answer(405, {"error": "expected POST"})
    if headers.get("content-encoding", "identity") != "identity":
        return Answer(415, {"error": "expected a body that is not compressed"})
    told = headers.get("content-length", "0")
    return _too_long(most) if told.isdecimal() and int(told[:20]) > most else None


def _too_long(most: int) -> Answer:
    return Answer(413, {"error": f"at most {most:,} bytes are taken"})


async def _body(receive: Receive, most: int) -> bytes | None:
    """The raw bytes, or None as soon as there are too many."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _said(answer: Answer, send: Send) -> None:
    body = json.dumps(answer.told).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if answer.status == 503:
        headers.append((b"retry-after", b"2"))
    if answer.status in {408, 413}:  # the rest of the body is not waited for
        headers.append((b"connection", b"close"))
    if answer.status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
