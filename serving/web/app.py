"""The page: its addresses, and who may ask for what behind them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import anyio.to_thread
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from data.errors import DeliveryError
from data.settings import Settings
from serving.web import accounts_routes, company_routes, list_routes, sign_in_routes
from serving.web.forms import Mistake
from serving.web.guard import Guard
from serving.web.pages import STATIC, render
from serving.web.sign_in import Doorkeeper
from serving.web.site import Site

__all__ = ["make"]

_THREADS: Final = 12  # fewer than the database's connections
_WORDS: Final = {
    404: "There is no such page, or no such account in your book.",
    405: "This address does not take that.",
    503: "The database does not answer just now. Nothing was lost; try again in a minute.",
}


def make(
    settings: Settings, engine: sa.Engine, *, clock: Callable[[], datetime], hooks: bool = True
) -> FastAPI:
    """Put the page together.

    Parameters
    ----------
    settings : data.settings.Settings
        Web, playbook, outcome.
    engine : sqlalchemy.Engine
        The one database, its schema up to date.
    clock : callable
        Gives the moment, UTC; asked once per request.
    hooks : bool
        Whether webhooks are taken, too.
    """
    app = FastAPI(
        title="Expansion propensity",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan,
    )
    app.state.site = Site(settings, engine, Doorkeeper(settings.web), clock, secrets.token_urlsafe)
    for routes in (list_routes, accounts_routes, company_routes, sign_in_routes):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(DeliveryError, _unanswered)
    app.add_exception_handler(sa.exc.SQLAlchemyError, _unanswered)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(Mistake, _mistaken)
    if hooks:
        from serving.events.routes import Hooks  # noqa: PLC0415 - not needed for the page alone

        app.add_middleware(Hooks, settings=settings, engine=engine)
    app.add_middleware(Guard, rules=settings.web)
    return app


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield


def _unanswered(_: Request, __: Exception) -> Response:
    return _told(503, {"Retry-After": "30"})


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    return _told(error.status_code, dict(error.headers or {}), str(error.detail))


def _misread(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    named = sorted({str(each["loc"][-1]) for each in error.errors()})
    return _told(422, {}, f"This cannot be asked for: {', '.join(named)}.")


def _mistaken(_: Request, error: Exception) -> Response:
    return _told(422, {}, str(error))


def _told(status: int, headers: dict[str, str], words: str = "") -> HTMLResponse:
    told: dict[str, Any] = {"status": status, "words": _WORDS.get(status) or words}
    return HTMLResponse(render("error.html.j2", viewer=None, at="", **told), status, headers)
