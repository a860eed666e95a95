"""FastAPI application factory: routes, middleware and error handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import anyio.to_thread
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from data.config.settings import Settings
from data.errors import DeliveryError
from serving.web.auth import Authenticator
from serving.web.dependencies import AppContext, FormError
from serving.web.middleware import SecurityMiddleware
from serving.web.routes import account_page, list_page, sign_in, status_pages
from serving.web.templating import STATIC, render_template

__all__ = ["create_app"]

_THREADS: Final = 12  # fewer than database connections
_STATUS_MESSAGES: Final = {
    404: "Page not found, or the account is not in your portfolio.",
    405: "Method not allowed.",
    503: "The database is not responding. No data was lost; try again in a minute.",
}


def create_app(
    settings: Settings, engine: sa.Engine, *, clock: Callable[[], datetime], webhooks: bool = True
) -> FastAPI:
    """Create the web application.

    ``clock`` returns the current time, UTC. ``webhooks`` is false for the pages alone.
    """
    app = FastAPI(
        title="Expansion propensity",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan,
    )
    app.state.context = AppContext(settings, engine, Authenticator(settings.web), clock)
    for routes in (list_page, account_page, status_pages, sign_in):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(DeliveryError, _handle_unavailable)
    app.add_exception_handler(sa.exc.SQLAlchemyError, _handle_unavailable)
    app.add_exception_handler(HTTPException, _handle_http_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(FormError, _handle_form_error)
    if webhooks:
        from serving.events.ingest.asgi import WebhookMiddleware  # noqa: PLC0415 - not needed for the page alone

        app.add_middleware(WebhookMiddleware, settings=settings.webhooks, engine=engine)
    app.add_middleware(SecurityMiddleware, rules=settings.web)
    return app


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield


def _handle_unavailable(_: Request, __: Exception) -> Response:
    return _render_error(503, {"Retry-After": "30"})


def _handle_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    return _render_error(error.status_code, dict(error.headers or {}), str(error.detail))


def _handle_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    fields = sorted({str(error_detail["loc"][-1]) for error_detail in error.errors()})
    return _render_error(422, {}, f"Invalid parameters: {', '.join(fields)}.")


def _handle_form_error(_: Request, error: Exception) -> Response:
    return _render_error(422, {}, str(error))


def _render_error(status: int, headers: dict[str, str], message: str = "") -> HTMLResponse:
    text = _STATUS_MESSAGES.get(status) or message
    page = render_template("error.html.j2", user=None, active_page="", status=status, message=text)
    return HTMLResponse(page, status, headers)
