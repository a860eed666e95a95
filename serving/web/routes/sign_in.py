"""Routes to sign in with a token and to sign out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serving.web.auth import SESSION_COOKIE, SESSION_SECONDS
from serving.web.dependencies import ContextDep, FormDep
from serving.web.templating import render_template

__all__ = ["router"]

router = APIRouter()
_NextPath = Annotated[str, Query(alias="next")]


@router.get("/sign-in")
def show_sign_in(context: ContextDep, next_path: _NextPath = "/") -> HTMLResponse:
    """Show the sign-in form."""
    if not context.authenticator.accepts_tokens:
        raise HTTPException(404)
    return _render_sign_in(next_path)


@router.post("/sign-in")
def sign_in(request: Request, context: ContextDep, form: FormDep) -> Response:
    """Sign in with a token, and set the session cookie."""
    session = context.authenticator.create_session(form.get("token", ""))
    if session is None:
        return _render_sign_in(form.get("next", "/"), "Unknown token.", 401)
    response = RedirectResponse(_safe_redirect(form.get("next", "/")), 303)
    response.set_cookie(
        SESSION_COOKIE,
        session,
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/sign-out")
def sign_out(context: ContextDep) -> Response:
    """Sign out, and delete the session cookie."""
    response = RedirectResponse("/sign-in" if context.authenticator.accepts_tokens else "/", 303)
    response.delete_cookie(SESSION_COOKIE)
    return response


def _render_sign_in(next_path: str, error: str = "", status: int = 200) -> HTMLResponse:
    variables = {
        "user": None,
        "active_page": "",
        "next": _safe_redirect(next_path),
        "error": error,
    }
    return HTMLResponse(render_template("sign_in.html.j2", **variables), status)


def _safe_redirect(target: str) -> str:
    r"""Return the redirect target if it is a local path, else "/" (open-redirect guard).

    Examples
    --------
    >>> targets = ("/model?x=1", "//evil", "/\\evil", "https://evil", "/a\r\nb")
    >>> [_safe_redirect(target) for target in targets]
    ['/model?x=1', '/', '/', '/', '/']
    """
    is_local = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if is_local and target.isascii() and target.isprintable() else "/"
