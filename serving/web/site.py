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

from data.settings import Settings
from serving.web.pages import render
from serving.web.sign_in import Doorkeeper, Viewer

__all__ = ["Here", "Looking", "Site", "page"]


@dataclass(frozen=True)
class Site:
    """Settings, database, door, clock, and what makes names that nobody guesses."""

    settings: Settings
    engine: sa.Engine
    door: Doorkeeper
    clock: Callable[[], datetime]
    unique: Callable[[], str]

    def __repr__(self) -> str:
        return f"Site({self.door!r})"

    @property
    def today(self) -> date:
        """The day, UTC."""
        return self.clock().date()


def _site(request: Request) -> Site:
    found: Site = request.app.state.site
    return found


def _viewer(request: Request) -> Viewer:
    door = _site(request).door
    found = door.viewer(request)
    if found is not None:
        return found
    if door.takes_tokens and request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        there = quote(f"{request.url.path}{query}", safe="")
        raise HTTPException(303, "Sign in first.", {"Location": f"/sign-in?to={there}"})
    raise HTTPException(401, "Sign in first.")


Here = Annotated[Site, Depends(_site)]
Looking = Annotated[Viewer, Depends(_viewer)]


def page(
    name: str,
    viewer: Viewer,
    site: Site,
    *,
    at: str,
    status: int = 200,
    **told: Any,  # noqa: ANN401 - whatever the template asks for
) -> HTMLResponse:
    """Answer with a page, which knows who looks and where they are."""
    told |= {"viewer": viewer, "at": at, "seal": site.door.seal(viewer), "today": site.today}
    told |= {"signs_out": site.door.takes_tokens}
    return HTMLResponse(render(name, **told), status)
