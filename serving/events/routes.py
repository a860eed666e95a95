"""The webhooks as routes of a FastAPI app: ``app.include_router(router(settings, engine))``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from data.settings import Settings
from serving.events.intake import Answer, Intake
from serving.events.store import Store

__all__ = ["router"]

_AGAIN: Final = {"Retry-After": "2"}


def router(settings: Settings, engine: sa.Engine) -> APIRouter:
    """Give the webhooks as routes; their store opens and closes with the app.

    Parameters
    ----------
    settings : data.settings.Settings
        Secrets, shapes and limits.
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    """

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        store = Store(engine)
        app.state.intake = Intake(settings.webhooks, store)
        try:
            yield
        finally:
            store.close()

    made = APIRouter(lifespan=opened, tags=["webhooks"])
    made.add_api_route("/webhooks/segment", segment, methods=["POST"], response_class=JSONResponse)
    made.add_api_route("/webhooks/generic", generic, methods=["POST"], response_class=JSONResponse)
    return made


async def segment(request: Request) -> Response:
    """Take one message of Segment's, or a batch of them, signed over the whole body."""
    return await _taken("segment", request)


async def generic(request: Request) -> Response:
    """Take one event, or a list of them; ``webhooks.shape`` says what they look like."""
    return await _taken("generic", request)


async def _taken(source: str, request: Request) -> Response:
    intake: Intake = request.app.state.intake
    if request.headers.get("content-encoding", "identity") != "identity":
        return _said(Answer(415, {"error": "expected a body that is not compressed"}))
    try:
        body = await _body(request, intake.most_bytes)
    except ClientDisconnect:
        return Response(status_code=400)
    if body is None:
        return _said(Answer(413, {"error": f"at most {intake.most_bytes:,} bytes are taken"}))
    return _said(await intake.take(source, request.headers, body, datetime.now(UTC)))


async def _body(request: Request, most: int) -> bytes | None:
    """The raw bytes, or None as soon as there are too many."""
    told = request.headers.get("content-length", "0")
    if told.isdigit() and int(told[:20]) > most:
        return None
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)


def _said(answer: Answer) -> JSONResponse:
    told: dict[str, Any] = dict(answer.told)
    return JSONResponse(
        told, status_code=answer.status, headers=_AGAIN if answer.status == 503 else None
    )
