"""What every address of the page works with, and how it comes by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any
from urllib.parse import quote

import sqlalchemy as sa
from fastapi import Depends, HTTPException, Request
from starlette.responses import HTMLResponse

from data.config.settings import Settings
from serving.web.auth import Authenticator, User
from serving.web.templating import render_template

__all__ = ["AppContext", "ContextDep", "UserDep", "render_page"]


@dataclass(frozen=True)
class AppContext:
    """Settings, database, door, clock, and what makes names that nobody guesses."""

    settings: Settings
    engine: sa.Engine
    authenticator: Authenticator
    clock: Callable[[], datetime]
    new_form_id: Callable[[], str]

    def __repr__(self) -> str:
        return f"Site({self.authenticator!r})"

    @property
    def today(self) -> date:
        """The day, UTC."""
        return self.clock().date()


def _get_context(request: Request) -> AppContext:
    context: AppContext = request.app.state.site
    return context


def _get_user(request: Request) -> User:
    authenticator = _get_context(request).authenticator
    user = authenticator.authenticate(request)
    if user is not None:
        return user
    if authenticator.accepts_tokens and request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        target = quote(f"{request.url.path}{query}", safe="")
        raise HTTPException(303, "Sign in first.", {"Location": f"/sign-in?to={target}"})
    raise HTTPException(401, "Sign in first.")


ContextDep = Annotated[AppContext, Depends(_get_context)]
UserDep = Annotated[User, Depends(_get_user)]


def render_page(
    name: str,
    user: User,
    context: AppContext,
    *,
    active_page: str,
    status: int = 200,
    **variables: Any,  # noqa: ANN401 - whatever the template asks for
) -> HTMLResponse:
    """Answer with a page, which knows who looks and where they are."""
    variables |= {
        "viewer": user,
        "at": active_page,
        "seal": context.authenticator.create_csrf_token(user),
        "today": context.today,
    }
    variables |= {"signs_out": context.authenticator.accepts_tokens}
    return HTMLResponse(render_template(name, **variables), status)
