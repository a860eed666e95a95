"""FastAPI dependencies shared by the routes: context, current user, form fields, rendering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote

import sqlalchemy as sa
from fastapi import Depends, HTTPException, Request
from starlette.responses import HTMLResponse

from data.config.settings import Settings
from serving.web.auth import Authenticator, User
from serving.web.templating import render_template

__all__ = ["AppContext", "ContextDep", "FormDep", "FormError", "UserDep", "render_page"]


@dataclass(frozen=True, repr=False)
class AppContext:
    """Settings, database, authenticator and clock."""

    settings: Settings
    engine: sa.Engine
    authenticator: Authenticator
    clock: Callable[[], datetime]

    @property
    def today(self) -> date:
        """Current day, UTC."""
        return self.clock().date()


class FormError(Exception):
    """A form is invalid; the text tells the user what to correct."""


def _get_context(request: Request) -> AppContext:
    context: AppContext = request.app.state.context
    return context


def _get_user(request: Request) -> User:
    authenticator = _get_context(request).authenticator
    user = authenticator.authenticate(request)
    if user is not None:
        return user
    if authenticator.accepts_tokens and request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        target = quote(f"{request.url.path}{query}", safe="")
        raise HTTPException(303, "Sign in first.", {"Location": f"/sign-in?next={target}"})
    raise HTTPException(401, "Sign in first.")


async def _read_fields(request: Request) -> dict[str, str]:
    """Return the fields of a form; the last value of a repeated field."""
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise FormError("The form cannot be parsed.") from error
    return dict(pairs)


ContextDep = Annotated[AppContext, Depends(_get_context)]
UserDep = Annotated[User, Depends(_get_user)]
FormDep = Annotated[dict[str, str], Depends(_read_fields)]


def render_page(
    name: str,
    user: User,
    context: AppContext,
    *,
    active_page: str,
    status: int = 200,
    **variables: Any,  # noqa: ANN401 - template variables
) -> HTMLResponse:
    """Render a page with the user, the active page and a CSRF token."""
    variables |= {
        "user": user,
        "active_page": active_page,
        "csrf_token": context.authenticator.create_csrf_token(user),
        "can_sign_out": context.authenticator.accepts_tokens,
        "today": context.today,
    }
    return HTMLResponse(render_template(name, **variables), status)
