"""The webhooks as routes of a FastAPI app, whose state holds ``settings``.

``app.include_router(routes.router)`` is all it takes: the router opens and closes its store with
the app.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from serving import state
from serving.events.intake import SOURCES, Answer, Intake
from serving.events.store import Store

__all__ = ["router"]

_AGAIN: Final = {"Retry-After": "2"}


@asynccontextmanager
async def _opened(app: FastAPI) -> AsyncIterator[None]:
    settings = app.state.settings
    engine = state.open(settings.crm_url)
    store = Store(engine)
    app.state.intake = Intake(settings.webhooks, store)
    try:
        yield
    finally:
        store.close()
        engine.dispose()


router = APIRouter(lifespan=_opened, tags=["webhooks"])


@router.post("/webhooks/segment", summary="Events from Segment")
async def segment(request: Request) -> Response:
    """Take one message of Segment's, or a batch of them, signed over the whole body."""
    return await _taken("segment", request)


@router.post("/webhooks/generic", summary="Events from any other source")
async def generic(request: Request) -> Response:
    """Take one event, or a list of them; ``webhooks.shape`` says what they look like."""
    return await _taken("generic", request)


async def _taken(source: str, request: Request) -> Response:
    assert source in SOURCES  # noqa: S101 - one of the two routes above
    intake: Intake = request.app.state.intake
    headers = request.headers
    if headers.get("content-encoding", "identity") != "identity":
        return _said(Answer(415, {"error": "expected a body that is not compressed"}))
    try:
        body = await _body(request, intake.most_bytes)
    except ClientDisconnect:
        return Response(status_code=400)
    if body is None:
        return _said(Answer(413, {"error": f"at most {intake.most_bytes:,} bytes are taken"}))
    return _said(await intake.take(source, headers, body, datetime.now(UTC)))


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
